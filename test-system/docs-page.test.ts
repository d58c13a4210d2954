import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { chromium, type Browser } from 'playwright-core'
import { startServer } from '../test/support/server.ts'

// /docs in headless Chromium, which may reach this server and nothing else.

const server = await startServer()
let browser: Browser
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  })
})
after(() => browser?.close())

for (const [name, width, colorScheme] of [
  ['a desk, light', 1280, 'light'],
  ['a phone, dark', 360, 'dark'],
] as const) {
  test(`/docs is readable on ${name}: styled, no wider than the screen, and loaded from here alone`, async () => {
    const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
    const asked: string[] = []
    const faults: string[] = []
    page.on('request', (request) => asked.push(request.url()))
    page.on('console', (message) => faults.push(message.text()))
    page.on('pageerror', ({ message }) => faults.push(message))
    await page.goto(`${server.app.url}/docs#createRun`)
    // Browsers ask for a favicon by themselves.
    assert.deepEqual(
      asked.filter((url) => !url.endsWith('/favicon.ico')),
      [`${server.app.url}/docs`],
    )
    assert.deepEqual(
      faults.filter((text) => !text.includes('404')),
      [],
    )
    const seen = await page.evaluate(`({
      wide: document.documentElement.scrollWidth,
      paper: getComputedStyle(document.body).backgroundColor,
      top: Math.round(document.getElementById('createRun').getBoundingClientRect().top),
    })`)
    const paper = colorScheme === 'dark' ? 'rgb(20, 23, 27)' : 'rgb(255, 255, 255)'
    const { wide, top, ...rest } = seen as { wide: number; paper: string; top: number }
    assert.ok(wide <= width, `the page is ${wide} wide`)
    assert.deepEqual(rest, { paper })
    assert.ok(Math.abs(top) < 100, 'the anchor was found')
    await page.close()
  })
}
