import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { allChecks } from '../conformance/checks.ts'
import { startConformanceModel } from '../conformance/mock-model.ts'
import { score } from '../conformance/score.ts'
import { Target } from '../conformance/target.ts'
import { startBreakingProxy, type Break } from './support/breaking-proxy.ts'
import { atEnd } from './support/database.ts'
import { startServer } from './support/server.ts'

// Whether the checks of conformance/ notice: a proxy breaks one rule at a time in the answers of this server.

const model = await startConformanceModel(0)
atEnd(() => model.close())
const server = await startServer({ env: { OPENAI_BASE_URL: model.url } })
const proxy = await startBreakingProxy(server.app.url)
const target = new Target(proxy.url, model, { apiKey: 'unused', modelName: 'conformance', runTtl: null })

/** Replaces in every body. */
const replacing =
  (pattern: RegExp | string, by: string): Break =>
  (answer) => {
    answer.body = answer.body.replaceAll(pattern, by)
  }

/** Leaves this event out of every stream. */
const without =
  (name: string): Break =>
  (answer) => {
    if (answer.body.startsWith(`event: ${name}\n`)) answer.body = ''
  }

/** What is broken, and a check that must notice. */
const breaks: [string, Break, string[]][] = [
  ['has_more is never told', replacing('"has_more":true', '"has_more":false'), ['paging.messages.envelope']],
  ['empty lists have empty cursors', replacing('"first_id":null', '"first_id":""'), ['paging.empty']],
  ['a status outside the nine', replacing('"status":"completed"', '"status":"done"'), ['status.completed']],
  [
    'a conflict is 409',
    (answer) => {
      if (answer.body.includes('already has an active run')) answer.status = 409
    },
    ['errors.run-while-a-run-is-active', 'transport.conflicts-are-not-retried', 'errors.race-of-two-creates'],
  ],
  [
    'errors have no code',
    replacing(/"code":"\w+"/g, '"code":null'),
    ['errors.missing-field', 'metadata.runs.refuses-17-pairs'],
  ],
  [
    'errors have no param',
    replacing(/"param":"[^"]+"/g, '"param":null'),
    ['errors.unknown-file', 'errors.enum'],
  ],
  ['an error in other words', replacing('No thread found', 'There is no thread'), ['errors.unknown-thread']],
  [
    'errors without their envelope',
    replacing('{"error":', '{"detail":'),
    ['errors.envelope', 'errors.unknown-route'],
  ],
  [
    'what is deleted answers 204',
    (answer, url) => {
      if (!url.startsWith('DELETE')) return
      answer.status = 204
      answer.body = ''
    },
    ['assistants.delete', 'threads.delete', 'files.delete'],
  ],
  [
    'no request ids',
    (answer) => answer.headers.delete('x-request-id'),
    ['transport.response-headers', 'errors.envelope'],
  ],
  [
    'no hint when to poll',
    (answer) => answer.headers.delete('openai-poll-after-ms'),
    ['transport.poll-after'],
  ],
  [
    'expires_at stays',
    replacing('"expires_at":null', '"expires_at":1'),
    ['status.completed', 'status.failed'],
  ],
  [
    'usage is lost',
    replacing(/"usage":\{[^}]*\}/g, '"usage":null'),
    ['run.usage-is-the-sum-of-its-steps', 'steps.usage'],
  ],
  [
    'prompt tokens are off by one',
    replacing('"prompt_tokens":200', '"prompt_tokens":201'),
    ['run.usage-is-the-sum-of-its-steps'],
  ],
  [
    'no event for an open step',
    without('thread.run.step.in_progress'),
    ['stream.plain', 'events.thread.run.step.in_progress'],
  ],
  ['no cancelling', without('thread.run.cancelling'), ['stream.cancelled', 'events.thread.run.cancelling']],
  ['no last event of the run', without('thread.run.completed'), ['stream.plain', 'sdk7.runs.stream']],
  ['the end is quoted', replacing('data: [DONE]', 'data: "[DONE]"'), ['events.done', 'stream.plain']],
  ['a lost delta', replacing('"value":": "', '"value":""'), ['stream.message-deltas']],
  [
    'a message that is never opened',
    without('thread.message.created'),
    ['stream.items-open-before-their-deltas', 'stream.plain', 'sdk7.runs.stream'],
  ],
  [
    'ids of calls in every delta',
    replacing(/\{"index":0,"type":"function"/g, '{"index":0,"id":"call_x","type":"function"'),
    ['stream.call-deltas'],
  ],
  [
    'SSE as plain text',
    (answer) => {
      if (answer.body.startsWith('event:')) answer.headers.set('content-type', 'text/plain')
    },
    ['stream.headers'],
  ],
  [
    'messages without attachments',
    replacing(',"attachments":[]', ''),
    ['messages.create.user-message-is-complete'],
  ],
  [
    'a default that is not',
    replacing('"parallel_tool_calls":true', '"parallel_tool_calls":false'),
    ['runs.create.defaults'],
  ],
  [
    'times in milliseconds',
    replacing(/"created_at":(\d+)/g, '"created_at":$1000'),
    ['ids.times-are-seconds', 'run.created-at'],
  ],
  [
    'memgpt runs without file_ids',
    replacing('"file_ids":[],', ''),
    ['memgpt.create-run', 'memgpt.list-runs'],
  ],
  [
    'memgpt steps with step_details',
    replacing('"step_defaults"', '"step_details"'),
    ['memgpt.list-run-steps'],
  ],
  [
    'memgpt errors in the envelope of v2',
    replacing('{"detail":', '{"error":'),
    ['memgpt.errors.unknown-ids', 'memgpt.errors.invalid-bodies'],
  ],
  [
    'a dialect that is not told',
    (answer) => answer.headers.delete('x-assistants-dialect'),
    ['memgpt.detection.nothing', 'memgpt.detection.the-beta-header'],
  ],
]

async function outcomes(ids: string[]): Promise<[string, string][]> {
  const checks = allChecks.filter(({ id }) => ids.includes(id))
  assert.equal(checks.length, ids.length, `all of ${ids.join(', ')} exist`)
  // Streams are recorded once per target: this one is new.
  const fresh = new Target(target.url, model, target.options)
  const results = await score(checks, fresh, { timeoutMs: 10_000, concurrency: 4 })
  return results.map(({ id, outcome, reason }) => [
    id,
    outcome === 'failed' ? 'failed' : `${outcome} ${reason}`,
  ])
}

test('an answer that nobody breaks passes every check that notices a break', async () => {
  proxy.breaks = () => {}
  const ids = [...new Set(breaks.flatMap(([, , noticing]) => noticing))]
  const bad = (await outcomes(ids)).filter(([, outcome]) => outcome !== 'passed null')
  assert.deepEqual(bad, [])
})

for (const [what, breaking, noticing] of breaks) {
  test(`the score notices: ${what}`, async () => {
    proxy.breaks = breaking
    assert.deepEqual(
      (await outcomes(noticing)).filter(([, outcome]) => outcome !== 'failed'),
      [],
    )
  })
}

/** Servers that serve nothing, in several ways. */
const empty: Record<string, RequestListener> = {
  'an empty object to everything': (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  },
  'an empty list to everything': (_, response) => {
    const list = { object: 'list', data: [], first_id: null, last_id: null, has_more: false }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(list))
  },
  'an error to everything': (_, response) => {
    const error = { message: 'Not here.', type: 'invalid_request_error', param: null, code: null }
    response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ error }))
  },
}
for (const [what, answer] of Object.entries(empty)) {
  test(`a server that answers ${what} passes no check`, async () => {
    const nothing = createServer(
      (request, response) => void request.resume().on('end', () => answer(request, response)),
    )
    await new Promise<void>((resolve) => nothing.listen(0, '127.0.0.1', resolve))
    const { port } = nothing.address() as AddressInfo
    const options = { ...target.options, runTtl: 1 }
    const results = await score(allChecks, new Target(`http://127.0.0.1:${port}`, model, options), {
      timeoutMs: 30_000,
      concurrency: 8,
    })
    nothing.closeAllConnections()
    nothing.close()
    assert.deepEqual(
      results.filter(({ outcome }) => outcome === 'passed').map(({ id }) => id),
      [],
    )
  })
}
