import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { launchBrowser } from '../test/support/browser.ts'
import { startWorld } from '../test/client/example-world.ts'
import { examplesOf, filledIn, methodOf, none } from '../test/client/example.ts'
import { clientRoot, installClient } from '../test/client/installed-client.ts'
import { within } from '../test/support/npm-start.ts'
import { startServer } from '../test/support/server.ts'

// The client in headless Chromium, on pages of other origins than the server's: another loopback origin, one that the
// operator lists, and one that nobody lists.

const project = installClient()
const html = `<!doctype html><title>client</title><script type="importmap">
  { "imports": { "open_ai_assistants_api": "/dist/esm/index.js" } }</script>`

/** Serves the compiled client, and a page that finds it. */
const pages = createServer((request, response) => {
  const path = new URL(request.url ?? '/', 'http://page').pathname
  if (path === '/page') return void response.setHeader('content-type', 'text/html').end(html)
  if (!path.startsWith('/dist/')) return void response.writeHead(204).end()
  response.setHeader('content-type', 'text/javascript')
  response.end(readFileSync(join(project, 'node_modules/open_ai_assistants_api', path)))
})
await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
const { port: pagePort } = pages.address() as AddressInfo

const world = await startWorld()
const { port } = new URL(world.server.app.url)
const listed = `http://listed.example:${pagePort}`
const other = await startServer({ demo: true, env: { ALLOWED_ORIGINS: listed } })

let browser: Browser
before(async () => {
  browser = await launchBrowser()
})
after(async () => {
  await browser?.close()
  pages.closeAllConnections()
  pages.close()
})

/** Runs a module on a page of this origin and returns what it has logged when `until` is among that. */
async function logged(origin: string, text: string, until: RegExp): Promise<string> {
  const page: Page = await browser.newPage()
  let output = ''
  page.on('console', (message) => (output += `${message.text()}\n`))
  page.on('pageerror', (error) => (output += `${error.message}\n`))
  try {
    await page.goto(`${origin}/page`)
    await page.addScriptTag({ type: 'module', content: text })
    const seen = async () => {
      while (!until.test(output)) await sleep(10)
    }
    await within(seen(), 20_000, () => `${text}\n${output}`)
    return output
  } finally {
    await page.close()
  }
}

const loopback = `http://localhost:${pagePort}`
const called = /API called successfully/

const seedPage = readFileSync(
  fileURLToPath(new URL('../test/fixtures/seed-runs-api.md', import.meta.url)),
  'utf8',
)
for (const example of examplesOf(seedPage)) {
  const method = methodOf(example)
  test(`the seed's example of ${method} runs in Chromium, on a page of another loopback origin`, async () => {
    // The name of the seed's server is this machine's for a browser too.
    const address = `http://memgpt.localhost:${port}`
    const output = await logged(loopback, filledIn(example, address, await world.substitutes(method)), called)
    assert.match(output, /^API called successfully\. Returned data: /)
  })
}

test('the examples of the README run in Chromium', async () => {
  const examples = examplesOf(readFileSync(join(clientRoot, 'README.md'), 'utf8'))
  const expected = [/completed: /, /200 \d/, /completed/]
  for (const [at, example] of examples.entries())
    await logged(loopback, filledIn(example, world.server.app.url, none), expected[at] ?? /^$/)
})

test('a page on every kind of loopback origin may call', async () => {
  const text = threadsCall(world.server.app.url)
  for (const host of ['127.0.0.1', 'localhost', 'app.localhost', 'memgpt.localhost'])
    assert.match(await logged(`http://${host}:${pagePort}`, text, /done/), /done thread_/, host)
})

test('a page of a listed origin may call, and reads headers', async () => {
  assert.match(await logged(listed, threadsCall(other.app.url), /done/), /done thread_\w+ req_/)
})

test('a page of an origin that is not listed may not call, and is told so by a NetworkError', async () => {
  const origin = `http://other.example:${pagePort}`
  assert.match(await logged(origin, threadsCall(other.app.url), /done/), /done NetworkError NETWORK_ERROR/)
  assert.match(await logged(listed, threadsCall(world.server.app.url), /done/), /done NetworkError/)
})

test('abort, time-outs and a server that is not there end a request in Chromium', async () => {
  const text = `
    import { ApiClient, AssistantsApi } from 'open_ai_assistants_api'
    const list = (base, options) =>
      new AssistantsApi(new ApiClient(base)).listAssistantsV1AssistantsGet(options).then(() => 'none', ({ name }) => name)
    const controller = new AbortController()
    controller.abort()
    const seen = [
      await list('${world.server.app.url}', { signal: controller.signal }),
      await list('http://127.0.0.1:${pagePort}', { timeout: 1000 }),
      await list('http://127.0.0.1:1'),
    ]
    console.log('done', seen.join(' '))`
  assert.match(await logged(loopback, text, /done/), /done AbortError NetworkError NetworkError/)
})

function threadsCall(address: string): string {
  return `
    import { ApiClient, ThreadsApi } from 'open_ai_assistants_api'
    const threads = new ThreadsApi(new ApiClient('${address}'))
    threads.createThreadV1ThreadsPost({}).withResponse().then(
      ({ data, response }) => console.log('done', data.id, response.requestId),
      (error) => console.log('done', error.name, error.code),
    )`
}
