import { readFileSync } from 'node:fs'
import { Ajv2020 as Ajv } from 'ajv/dist/2020.js'
import type { ErrorObject, ValidateFunction } from 'ajv'

// The published schema of the Assistants API as a judge of every response and event that a test sees. The
// deviations that it takes are listed in patch(): where the schema is stricter than the service ever was.

type Json = Record<string, unknown>

const spec = JSON.parse(
  readFileSync(new URL('../fixtures/assistants-v2.openapi.json', import.meta.url), 'utf8'),
) as { paths: Record<string, Record<string, Json>>; components: { schemas: Record<string, Json> } }
patch(spec.components.schemas)

const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false })
ajv.addSchema({ $id: 'spec', components: spec.components })
const compiled = new Map<string, ValidateFunction>()

function patch(schemas: Record<string, Json>): void {
  for (const [name, schema] of Object.entries(schemas)) {
    const properties = schema['properties'] as Record<string, Json> | undefined
    if (!name.startsWith('List') || !properties) continue
    // Empty lists carry null cursors.
    for (const key of ['first_id', 'last_id'])
      if (properties[key]) properties[key] = { type: ['string', 'null'] }
  }
  const run = schemas['RunObject']?.['properties'] as Record<string, Json>
  // Assistants hold 128 tools, and a run copies them.
  run['tools'] = { ...run['tools'], maxItems: 128 }
  // Files may be uploaded for evals; the list of what is shown has forgotten it.
  const file = schemas['OpenAIFile']?.['properties'] as Record<string, { enum?: string[] }>
  file['purpose']?.enum?.push('evals')
}

/** Fails if `value` is not what the schema called `name` describes. */
export function assertShape(name: string, value: unknown): void {
  let validate = compiled.get(name)
  if (!validate) {
    validate = ajv.compile({ $ref: `spec#/components/schemas/${name}` })
    compiled.set(name, validate)
  }
  if (!validate(value)) {
    throw new Error(
      `not a valid ${name}: ${explain(validate.errors)}\n${JSON.stringify(value).slice(0, 2_000)}`,
    )
  }
}

function explain(errors: ErrorObject[] | null | undefined): string {
  return (errors ?? []).map((error) => `${error.instancePath} ${error.message ?? ''}`).join('; ')
}

const eventShapes: [RegExp, string][] = [
  [/^thread\.created$/, 'ThreadObject'],
  [/^thread\.run\.step\.delta$/, 'RunStepDeltaObject'],
  [/^thread\.run\.step\./, 'RunStepObject'],
  [/^thread\.run\./, 'RunObject'],
  [/^thread\.message\.delta$/, 'MessageDeltaObject'],
  [/^thread\.message\./, 'MessageObject'],
  [/^error$/, 'Error'],
]

/** Fails if a stream event is not one of the schema's. */
export function assertEvent(event: string, data: unknown): void {
  const shape = eventShapes.find(([pattern]) => pattern.test(event))
  if (!shape) throw new Error(`no such stream event: ${event}`)
  assertShape(shape[1], data)
  const whole = event.startsWith('thread.run.step')
    ? 'RunStepStreamEvent'
    : event.startsWith('thread.run')
      ? 'RunStreamEvent'
      : event.startsWith('thread.message')
        ? 'MessageStreamEvent'
        : null
  if (whole) assertShape(whole, { event, data })
}

/** The response schema's name for a request, if the schema knows the operation. */
function responseShape(method: string, path: string): string | null {
  for (const [pattern, operations] of Object.entries(spec.paths)) {
    const matches = new RegExp(`^${pattern.replace(/\{[^}]+\}/g, '[^/]+')}$`).test(path)
    const operation = operations[method.toLowerCase()]
    // `/threads/runs` also looks like `/threads/{thread_id}`: the schema lists the literal path first.
    if (!matches || !operation) continue
    const text = JSON.stringify((operation['responses'] as Json)['200'] ?? {})
    return /application\/json":\{"schema":\{"\$ref":"#\/components\/schemas\/(\w+)"/.exec(text)?.[1] ?? null
  }
  return null
}

/** A fetch that judges every JSON answer and every event that passes through it. */
export const judgingFetch: typeof fetch = async (input, init) => {
  const response = await fetch(input, init)
  const request = new URL(input instanceof Request ? input.url : input)
  const path = request.pathname.replace(/^\/openai(?:\/v1)?|^\/v1/, '')
  const method = init?.method ?? (input instanceof Request ? input.method : 'GET')
  const type = response.headers.get('content-type') ?? ''
  if (type.startsWith('text/event-stream') && response.body) {
    return new Response(response.body.pipeThrough(judgeEvents()), response)
  }
  if (!type.startsWith('application/json')) return response
  const text = await response.text()
  const shape = response.ok ? responseShape(method, path) : 'ErrorResponse'
  if (shape) assertShape(shape, JSON.parse(text))
  return new Response(text, response)
}

function judgeEvents(): TransformStream<Uint8Array, Uint8Array> {
  const decoder = new TextDecoder()
  let rest = ''
  return new TransformStream({
    transform(chunk, controller) {
      const frames = (rest + decoder.decode(chunk, { stream: true })).split('\n\n')
      rest = frames.pop() ?? ''
      for (const { event, data } of frames.flatMap(parseFrame)) {
        if (event !== 'done') assertEvent(event, JSON.parse(data))
      }
      controller.enqueue(chunk)
    },
  })
}

export interface Frame {
  event: string
  data: string
}

/** The event of one SSE frame; comments have none. */
export function parseFrame(frame: string): Frame[] {
  const lines = frame.split('\n')
  const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
  const event = field('event')
  return event === undefined ? [] : [{ event, data: field('data') ?? '' }]
}
