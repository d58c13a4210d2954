import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { describedBy } from './support/described.ts'
import { Facts, type Schema } from './support/schema-facts.ts'
import { startServer } from './support/server.ts'

// /openapi.json against the published schema of the Assistants API, fact by fact: every parameter, field, requirement,
// limit, default, null and list of values of every operation that both have. What differs is listed below with its reason;
// whatever else differs fails, and so does a reason that nothing needs any more.

interface SpecOperation {
  operationId: string
  parameters?: { $ref?: string; name: string; in: string; required?: boolean; schema: Schema }[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>
}
interface Spec {
  paths: Record<string, Record<string, SpecOperation>>
  components: { schemas: Record<string, Schema> }
}

const published = JSON.parse(
  readFileSync(new URL('./fixtures/assistants-v2.openapi.json', import.meta.url), 'utf8'),
) as Spec
const server = await startServer()
const ours = (await describedBy(server.app.url)).document as unknown as Spec

function factsOf({ components }: Spec, operation: SpecOperation): Set<string> {
  const facts = new Facts(components.schemas)
  const parameters = (operation.parameters ?? []).filter((one) => one.in === 'path' || one.in === 'query')
  const told = parameters.flatMap(({ name, in: place, required, schema }) => [
    ...facts.of(schema, `${place} ${name}`),
    ...(required ? [`${place} ${name}: required`] : []),
  ])
  for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {})) {
    told.push(`body: ${type}`, ...facts.of(schema, 'body'))
  }
  for (const [type, { schema }] of Object.entries(operation.responses['200']?.content ?? {})) {
    told.push(`answer: ${type}`)
    if (type !== 'text/event-stream') told.push(...facts.of(schema, 'answer'))
  }
  // What a list holds is told by the operation for one; defaults are for those who ask.
  return new Set(
    told
      .map((fact) => fact.replace(/^answer\.data\[\]/, 'answer'))
      .filter((fact) => !/^answer.*: default/.test(fact)),
  )
}

/** Where we are not as published: which facts of ours (+) or of the published schema (-), and why. */
const accepted: [RegExp, string][] = [
  // Requests: what we add.
  [/^\+ path \w+_id: pattern/, 'ids have a form, and others are refused as malformed (wire.md §9)'],
  [/^\+ query limit: (minimum 1|maximum 100|maximum 10000)$/, 'the published schema says it in words only'],
  [/^\+ body\S*: closed$/, 'unknown keys are refused at every depth (wire.md §1)'],
  [
    /^\+ body\S*metadata(\{key\}|\{\})?: max/,
    'the published schema says the limits of metadata in words only',
  ],
  [/^[+-] body\.metadata\{\}: (null or )?string$/, 'in a change null removes a key, as "" does (wire.md §8)'],
  [/^\+ body.*function\.name: (minLength 1|maxLength 64|pattern)/, 'published in words only'],
  [/json_schema\.name: pattern/, 'published in words only'],
  [/^\+ body\.model: (minLength 1|maxLength 256)$/, 'a name that no model has; our own limit'],
  [
    /^\+ body.*content(\[\]\.text)?: (minLength 1|maxLength 256000)$/,
    'a message is not empty, nor endless (wire.md §4)',
  ],
  [/^\+ body.*content: maxItems 1000$/, 'our own limit'],
  [/^\+ body.*messages: maxItems 10000$/, 'our own limit'],
  [/^\+ body.*attachments: maxItems 100$/, 'our own limit'],
  [/^\+ body.*attachments\[\]\.tools: maxItems 20$/, 'our own limit'],
  [/^\+ body\.tool_outputs: maxItems 1000$/, 'our own limit'],
  [
    /^\+ body.*attachments\[\]\.(file_id|tools): required$/,
    'wire.md §4; published on the list, where it means nothing',
  ],
  [/^\+ body.*image_url\.url: pattern/, 'a URL has a scheme'],
  [
    /^\+ (body|answer)\.tool_choice\.function: required$/,
    'it names the function; published as optional for all types',
  ],
  [/^\+ body.*chunk_overlap_tokens: minimum 0$/, 'published in words only'],
  [/^- body.*vector_stores\[\]\.file_ids: maxItems 100000000$/, 'a body of 32 MiB cannot hold as many'],
  [/^\+ body\.reasoning_effort: /, 'createThreadAndRun takes it, too: published for createRun alone'],
  // Defaults.
  [/^- body.*\.detail: default "auto"$/, 'kept and shown as it was sent; models take it as auto'],
  [/^- body.*file_ids: default \[\]$/, 'kept and shown as it was sent'],
  [/^- body\.tools: default \[\]$/, 'true of a creation; a change without tools leaves them'],
  [/^- body\.(temperature|top_p): default 1$/, "a run without one has its assistant's (wire.md §5)"],
  // The form of an upload.
  [/^[+-] body\.expires_after/, 'a form has no objects: the SDKs send expires_after[anchor] and [seconds]'],
  // Answers: what we promise more.
  [/^\+ answer\S*: closed$/, 'shapes that requests and answers share'],
  [/^[+-] answer\.\S*(first_id|last_id): /, 'an empty list has null cursors (overrides.json)'],
  [/^\+ answer\.object: may be "list"$/, 'published as any string'],
  [/^[+-] answer\.attachments: array/, 'always a list'],
  [/^\+ answer\.attachments\[\]\.(file_id|tools): required$/, 'always there'],
  [
    /^[+-] answer\.metadata(\{key\}|\{\})?: (null or )?(object|max)/,
    'always an object, within its limits (wire.md §8)',
  ],
  [/^[+-] answer\.(temperature|top_p): /, 'always a number: 1 if it was not set (wire.md §4)'],
  [/^[+-] answer\.response_format: /, 'always there: "auto" if it was not set (wire.md §4)'],
  [/^[+-] answer\.(tool_choice|truncation_strategy): /, 'always there, with its default (wire.md §5)'],
  [/^\+ answer\.truncation_strategy\.last_messages: required$/, 'always there: null with auto (wire.md §5)'],
  [/^\+ answer\.tool_resources: required$/, 'always there, maybe null'],
  [/^\+ answer\.incomplete_details\.reason: required$/, 'always there'],
  [/^\+ answer\.reasoning_effort: /, 'shown as it was set; the published assistant has forgotten it'],
  [/^\+ answer\.expires_at: (integer or null|required)$/, 'steps show it, too (overrides.json)'],
  [/^\+ answer\.purpose: may be "evals"$/, 'it may be uploaded for, and the published file has forgotten it'],
  [/^\+ answer.*function\.name: (minLength|maxLength|pattern)/, 'what a request could set'],
  [/^\+ answer: text\/event-stream$/, 'the published schema has no word of streams'],
  [/^[+-] answer: application\/(json|octet-stream)$/, 'the content of a file is bytes, not JSON'],
  // Answers: limits are for requests.
  [/^- answer\.(name|description|instructions): maxLength/, 'what a request could set'],
  [/^- answer\.max_(prompt|completion)_tokens: minimum 256$/, 'what a request could set'],
  [/^- answer\.tools: maxItems (20|128)$/, 'what a request could set (overrides.json)'],
  // Answers: what this server does not do.
  [
    /^- answer\.content\[\]\.(refusal|type: may be "refusal")/,
    'Chat Completions has no refusal part; refusals are text',
  ],
  [/^[+-] answer\.content\[\]\.text\.annotations\[\]/, 'no tool of this server cites: the list is empty'],
  [
    /^- answer\.step_details\.tool_calls\[\]\.(code_interpreter|file_search|type: may)/,
    'these tools are not run',
  ],
  [
    /^- answer\.purpose: may be "(assistants_output|batch_output|fine-tune-results)"$/,
    'nothing here makes such files',
  ],
]
const used = new Set<RegExp>()

for (const [path, item] of Object.entries(published.paths)) {
  // Vector stores are not served.
  if (path.startsWith('/vector_stores')) continue
  for (const [method, operation] of Object.entries(item)) {
    test(`${operation.operationId} is described as published, but for what is listed with a reason`, () => {
      const mine = ours.paths[`/v1${path}`]?.[method] ?? assert.fail(`${method} ${path} is not described`)
      const [theirs, told] = [factsOf(published, operation), factsOf(ours, mine)]
      const different = [
        ...[...theirs].filter((fact) => !told.has(fact)).map((fact) => `- ${fact}`),
        ...[...told].filter((fact) => !theirs.has(fact)).map((fact) => `+ ${fact}`),
      ]
      const unexplained = different.filter((fact) => {
        const reasons = accepted.filter(([pattern]) => pattern.test(fact))
        for (const [pattern] of reasons) used.add(pattern)
        return reasons.length === 0
      })
      assert.deepEqual(unexplained, [])
    })
  }
}

test('every reason for a difference is still needed', () => {
  const idle = accepted.filter(([pattern]) => !used.has(pattern))
  assert.deepEqual(
    idle.map(([pattern, why]) => `${pattern.source}: ${why}`),
    [],
  )
})

test('what we have besides the published operations is known', () => {
  const more = Object.keys(ours.paths)
    .filter((path) => path.startsWith('/v1'))
    .flatMap((path) => Object.keys(ours.paths[path] ?? {}).map((method) => [path.slice(3), method] as const))
    .filter(([path, method]) => !published.paths[path]?.[method])
    .map(([path, method]) => `${method} ${path}`)
  assert.deepEqual(more.toSorted(), [
    'delete /assistants/{assistant_id}/files/{file_id}',
    'get /assistants/{assistant_id}/files',
    'get /assistants/{assistant_id}/files/{file_id}',
    'get /models',
    'get /models/{model}',
    'get /threads',
    'get /threads/{thread_id}/messages/{message_id}/files',
    'get /threads/{thread_id}/messages/{message_id}/files/{file_id}',
    'get /threads/{thread_id}/runs/{run_id}/events',
    'post /assistants/{assistant_id}/files',
  ])
})

test('the events of a stream are those that were published', () => {
  const named = (schema: Schema): string[] => {
    const { $ref, anyOf = [], oneOf = [], properties } = schema
    const event = properties?.['event']
    const values = [...((event?.enum ?? []) as string[]), ...(event?.const ? [event.const as string] : [])]
    const next = published.components.schemas[$ref?.split('/').at(-1) ?? ''] ?? {}
    return [...values, ...[...anyOf, ...oneOf].flatMap(named), ...($ref ? named(next) : [])]
  }
  const { AssistantStreamEvent: theirs = {} } = published.components.schemas
  const { StreamEvent: mine = {} } = ours.components.schemas
  assert.deepEqual([...new Set(named(mine))].toSorted(), [...new Set(named(theirs))].toSorted())
})
