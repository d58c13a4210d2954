import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { launchBrowser } from '../test/support/browser.ts'
import { within } from '../test/support/npm-start.ts'
import { readyToRun, startServer } from '../test/support/server.ts'

// A page of anybody's in Chromium, which tries all that a page can send to a server on the machine that it is shown on.

const server = await startServer()
const { port } = new URL(server.app.url)
const script = readFileSync(new URL('fixtures/foreign-page.js', import.meta.url), 'utf8')
const html = `<!doctype html><title>foreign</title><body><script>${script}</script></body>`
const pages = createServer(
  (_request, response) => void response.setHeader('content-type', 'text/html').end(html),
)
await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
const { port: pagePort } = pages.address() as AddressInfo

let browser: Browser
before(async () => {
  browser = await launchBrowser(
    // A browser that does not ask its user: others do not either.
    '--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests',
  )
})
after(async () => {
  await browser?.close()
  pages.closeAllConnections()
  pages.close()
})

/** Tries every way of fixtures/foreign-page.js on a page; what it could read. */
function tryAll(page: Page, target: { base: string; thread: string; run: string }): Promise<string[]> {
  return page.evaluate(`tryEverything(${JSON.stringify(target)})`)
}

async function everything(): Promise<string> {
  const tables = ['assistants', 'threads', 'messages', 'runs', 'files']
  const counted = await Promise.all(
    // Names of our own.
    tables.map(
      async (table) =>
        `${table} ${JSON.stringify(await server.db.sql(`select * from ${table} order by id`))}`,
    ),
  )
  return counted.join('\n')
}

for (const [title, from, to] of [
  ['another site', `http://foreign.example:${pagePort}`, `http://127.0.0.1:${port}`],
  ['another site, by the name localhost', `http://foreign.example:${pagePort}`, `http://localhost:${port}`],
  ['another site, by the address of nowhere', `http://foreign.example:${pagePort}`, `http://0.0.0.0:${port}`],
  [
    'a name that points to this machine since',
    `http://rebound.example:${pagePort}`,
    `http://rebound.example:${port}`,
  ],
] as const) {
  test(`a page of ${title} reads nothing and changes nothing`, async () => {
    const { assistant, thread } = await readyToRun(server)
    const { runs } = server.client.beta.threads
    const { id: run } = await runs.createAndPoll(thread, { assistant_id: assistant })
    const before = await everything()
    const page = await browser.newPage()
    let got: string[] = []
    try {
      await page.goto(`${from}/`)
      got = await within(tryAll(page, { base: to, thread, run }), 30_000, () => title)
    } finally {
      await page.close()
    }
    assert.deepEqual(got, [])
    assert.equal(await everything(), before)
  })
}

test('the same page on this machine may call: what is tried would work', async () => {
  const { assistant, thread } = await readyToRun(server)
  const { id: run } = await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const page = await browser.newPage()
  await page.goto(`http://localhost:${pagePort}/`)
  const got = await tryAll(page, { base: `http://localhost:${port}`, thread, run })
  await page.close()
  assert.ok(
    got.some((line) => line.startsWith('fetch JSON: {"id":"thread_')),
    got.join('\n'),
  )
  assert.ok(got.some((line) => line.startsWith('fetch DELETE: ') && line.includes('"deleted":true')))
})
