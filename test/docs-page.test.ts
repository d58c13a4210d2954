import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { before, test } from 'node:test'
import { errorKinds } from '../src/contract/errors.ts'
import { describedBy, type Placed } from './support/described.ts'
import { text, toolCalls } from './support/mock-model.ts'
import { startServer, tool, uploaded } from './support/server.ts'

// /docs: the description for people. It loads nothing, leads only to what is there, and its examples work.

const server = await startServer({ env: { ALLOWED_HOSTS: 'mill.example' } })
const { client, mock } = server
const described = await describedBy(server.app.url)
let page = ''
let headers = new Headers()
before(async () => {
  const response = await fetch(`${server.app.url}/docs`)
  headers = response.headers
  page = await response.text()
})

/** The part of the page that is about an operation. */
function sectionOf({ operation: { operationId: id } }: Placed): string {
  const start = page.indexOf(`<section id="${id}">`)
  assert.ok(start > 0, `${id} has no section`)
  return page.slice(start, page.indexOf('</section>', start))
}

test('/docs needs nothing but itself: no script, no font, no other file', () => {
  assert.equal(headers.get('content-type'), 'text/html; charset=utf-8')
  assert.equal(headers.get('x-content-type-options'), 'nosniff')
  assert.doesNotMatch(
    page,
    /<(script|link|img|iframe|object|embed|form|base)\b|\bsrc=|\bon\w+=|@import|url\(|\bstyle=/i,
  )
  for (const [, href = ''] of page.matchAll(/\bhref="([^"]*)"/g)) assert.match(href, /^(#|\/openapi\.json$)/)
  const style = /<style>([\s\S]*?)<\/style>/.exec(page)?.[1] ?? ''
  const hash = createHash('sha256').update(style).digest('base64')
  const policy = headers.get('content-security-policy') ?? ''
  assert.match(policy, /^default-src 'none'; style-src 'sha256-/)
  assert.ok(policy.includes(hash), 'the policy lets the style through')
  assert.match(style, /prefers-color-scheme: dark/)
  assert.match(page, /<meta name="viewport"/)
})

test('each anchor of /docs is there once, and each link leads to one', () => {
  const ids = [...page.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id ?? '')
  const double = ids.filter((id, at) => ids.indexOf(id) !== at)
  assert.deepEqual(double, [])
  const links = [...page.matchAll(/\bhref="#([^"]+)"/g)].map(([, id]) => id ?? '')
  assert.deepEqual(
    [...new Set(links)].filter((id) => !ids.includes(id)),
    [],
  )
  for (const name of Object.keys(described.document.components.schemas))
    assert.ok(ids.includes(`schema-${name}`), name)
  for (const key of Object.keys(errorKinds)) assert.ok(ids.includes(`key-${key}`), key)
})

test('/docs has each operation with its parameters, the fields of its body at every depth, and its answers', () => {
  for (const placed of described.placed) {
    const { operation, path, method } = placed
    const section = sectionOf(placed)
    assert.ok(section.includes(`${method.toUpperCase()}</span> <code>${path}</code>`), path)
    for (const { name } of described.parameters(operation))
      assert.ok(section.includes(`<b>${name}</b>`), name)
    for (const status of Object.keys(operation.responses))
      assert.ok(section.includes(`<td>${status}</td>`), path)
  }
  const createRun = described.placed.find(({ operation }) => operation.operationId === 'createRun')
  const section = sectionOf(createRun ?? assert.fail())
  for (const nested of ['truncation_strategy.', 'truncation_strategy.</span><b>last_messages'])
    assert.ok(section.includes(nested))
  assert.ok(section.includes('href="#schema-ToolChoice"'))
  assert.ok(section.includes('href="#key-active_run_blocks_run"'))
})

/** The ids that an example's variables and samples stand for, of things that are there. */
async function world(path: string): Promise<Record<string, string>> {
  const file = await uploaded(server)
  const tools = [tool('grind')]
  const tool_resources = { code_interpreter: { file_ids: [file] } }
  const assistant = await client.beta.assistants.create({ model: 'mock-model', tools, tool_resources })
  const attachments = [{ file_id: file, tools: [{ type: 'code_interpreter' as const }] }]
  const thread = await client.beta.threads.create({
    messages: [{ role: 'user', content: 'Grind.', attachments }],
  })
  const at = { thread_id: thread.id }
  const [message] = (await client.beta.threads.messages.list(thread.id)).data
  const ids = {
    assistant_id: assistant.id,
    thread_id: thread.id,
    message_id: message?.id ?? '',
    file_id: path.endsWith('/files') ? await uploaded(server) : file,
    model: 'mock-model',
  }
  mock.reset()
  mock.when(() => true, text('Flour.'))
  if (!path.includes('{run_id}')) return ids
  mock.reset()
  mock.next(toolCalls([{ id: sampleIds.call, name: 'grind', arguments: '{}' }]), text('Flour.'))
  const run = await client.beta.threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id })
  const [step] = (await client.beta.threads.runs.steps.list(run.id, at)).data
  if (path.endsWith('/events')) {
    // The stream of a run that waits for outputs stays open.
    const tool_outputs = [{ tool_call_id: sampleIds.call, output: 'done' }]
    await client.beta.threads.runs.submitToolOutputsAndPoll(run.id, { ...at, tool_outputs })
  }
  return { ...ids, run_id: run.id, step_id: step?.id ?? '' }
}

const sampleIds = {
  assistant: 'asst_0Cp7dQ2vKfMz8sLh1TnYbW4x',
  file: 'file-0Cp7dQ2vKfMz8sLh1TnYbW4x',
  call: 'call_0Cp7dQ2vKfMz8sLh1TnYbW4x',
}

/** What curl would send. */
function requestOf(command: string): { url: string; init: RequestInit } {
  const words = [...command.replaceAll('\\\n', ' ').matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? '',
  )
  assert.equal(words.shift(), 'curl')
  const init = { method: 'GET', headers: new Headers(), body: undefined as string | FormData | undefined }
  let url = ''
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '-X') init.method = words.shift() ?? ''
    else if (word === '-H') init.headers.append(...(words.shift()?.split(': ') as [string, string]))
    else if (word === '-d') Object.assign(init, { method: 'POST', body: words.shift() })
    else if (word === '-F') {
      const form = init.body instanceof FormData ? init.body : new FormData()
      const [name = '', value = ''] = words.shift()?.split('=') ?? []
      if (value.startsWith('@')) form.append(name, new Blob(['Corn.']), value.slice(1))
      else form.append(name, value)
      Object.assign(init, { method: 'POST', body: form })
    } else if (word !== '-N') url = word
  }
  return { url, init }
}

function unescaped(html: string): string {
  return html
    .replaceAll('&quot;', '"')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}

test('every example of /docs does what it says when it is pasted into a shell', async () => {
  for (const placed of described.placed) {
    const example = unescaped(/<pre>([\s\S]*?)<\/pre>/.exec(sectionOf(placed))?.[1] ?? '')
    assert.ok(example.includes(server.app.url), 'the example names this server')
    const ids = await world(placed.path)
    const filled = example
      .replaceAll(/\$(\w+)/g, (_, name: string) => ids[name] ?? assert.fail(`nothing for $${name}`))
      .replaceAll(sampleIds.assistant, ids['assistant_id'] ?? '')
      .replaceAll(sampleIds.file, ids['file_id'] ?? '')
    const { url, init } = requestOf(filled)
    const response = await described.fetch(url, init)
    assert.equal(response.status, 200, `${filled}\n${await response.text()}`)
    const dialect = placed.path.startsWith('/memgpt') ? 'memgpt' : 'openai'
    assert.equal(response.headers.get('x-assistants-dialect'), dialect, filled)
    assert.equal(
      described.find(init.method ?? 'GET', new URL(url).pathname, dialect).operation,
      placed.operation,
    )
  }
})

/** /docs as a client with this Host sees it. */
function docsFor(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(`${server.app.url}/docs`, { headers: { host } }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => resolve(body))
    })
    asked.on('error', reject)
    asked.end()
  })
}

test('the examples of /docs name the host that the reader used, and no other is answered', async () => {
  assert.match(await docsFor('mill.example:8080'), /curl http:\/\/mill\.example:8080\/v1\/models/)
  assert.match(await docsFor('[::1]:8283'), /curl http:\/\/\[::1\]:8283\/v1\/models/)
  for (const host of ['<script>alert(1)</script>', `x"onload="alert(1)`, '$&']) {
    assert.match(await docsFor(host), /^\{"error":.*host_not_allowed/)
  }
})

test('the first page of the server leads to /docs and /openapi.json', async () => {
  const first = await (await fetch(server.app.url)).text()
  for (const path of ['/docs', '/openapi.json']) {
    assert.ok(first.includes(path))
    assert.equal((await fetch(server.app.url + path)).status, 200)
  }
})
