import assert from 'node:assert/strict'
import type { Reply, Run, Target } from './target.ts'

// The memgpt dialect as the seed's client speaks it: no authorization, no beta header, its user agent.

export interface MemgptCall {
  id: string
  type: string
  function: { name: string; arguments: string }
}

export interface MemgptRun {
  id: string
  object: string
  created_at: number
  thread_id: string
  assistant_id: string
  status: string
  required_action: { type: string; submit_tool_outputs: MemgptCall[] } | null
  last_error: { code: string; message: string } | null
  expires_at: number
  started_at: number | null
  cancelled_at: number | null
  failed_at: number | null
  completed_at: number | null
  model: string
  instructions: string
  tools: MemgptCall[] | null
  file_ids: string[]
  metadata: Record<string, string>
  usage: { completion_tokens: number; prompt_tokens: number; total_tokens: number } | null
}

export interface MemgptStep {
  id: string
  object: string
  created_at: number
  assistant_id: string
  thread_id: string
  run_id: string
  type: string
  status: string
  step_defaults:
    | { type: 'tool_calls'; tool_calls: MemgptCall[] }
    | { type: 'message_creation'; message_id: string }
  last_error: { code: string; message: string } | null
  expired_at: number | null
  failed_at: number | null
  completed_at: number | null
  usage: MemgptRun['usage']
}

export interface Fault {
  type: string
  loc: (string | number)[]
  msg: string
}

type Kind = 'string' | 'integer' | 'object' | 'array'
/** What a field may be; `null` among them if it is optional. */
type Fields<T> = Record<keyof T & string, (Kind | 'null')[]>

const runFields: Fields<MemgptRun> = {
  id: ['string'],
  object: ['string'],
  created_at: ['integer'],
  thread_id: ['string'],
  assistant_id: ['string'],
  status: ['string'],
  required_action: ['object', 'null'],
  last_error: ['object', 'null'],
  expires_at: ['integer'],
  started_at: ['integer', 'null'],
  cancelled_at: ['integer', 'null'],
  failed_at: ['integer', 'null'],
  completed_at: ['integer', 'null'],
  model: ['string'],
  instructions: ['string'],
  tools: ['array', 'null'],
  file_ids: ['array'],
  metadata: ['object'],
  usage: ['object', 'null'],
}

const stepFields: Fields<MemgptStep> = {
  id: ['string'],
  object: ['string'],
  created_at: ['integer'],
  assistant_id: ['string'],
  thread_id: ['string'],
  run_id: ['string'],
  type: ['string'],
  status: ['string'],
  step_defaults: ['object'],
  last_error: ['object', 'null'],
  usage: ['object', 'null'],
  expired_at: ['integer', 'null'],
  failed_at: ['integer', 'null'],
  completed_at: ['integer', 'null'],
}

export const seedAgent = { 'user-agent': 'OpenAPI-Generator/0.1.0/Javascript' }

/** A request of the dialect. */
export async function ask<T>(
  t: Target,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = seedAgent,
): Promise<Reply<T>> {
  const response = await fetch(t.url + path, {
    method,
    headers: {
      accept: 'application/json',
      ...(body ? { 'content-type': 'application/json' } : {}),
      ...headers,
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
    signal: AbortSignal.timeout(20_000),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) as T }
}

/** The same, answered 200. */
export async function got<T>(t: Target, method: string, path: string, body?: unknown): Promise<T> {
  const { status, json, text } = await ask<T>(t, method, path, body)
  assert.equal(status, 200, text)
  return json
}

/** An answer that must be a run of the dialect, with its keys and no others. */
export async function gotRun(t: Target, method: string, path: string, body?: unknown): Promise<MemgptRun> {
  const run = await got<MemgptRun>(t, method, path, body)
  assertRun(run)
  return run
}

export function assertRun(run: MemgptRun): void {
  assertFields(run, runFields)
  assert.deepEqual([run.object, run.file_ids], ['thread.run', []])
  for (const call of run.tools ?? []) assertCall(call)
  for (const call of run.required_action?.submit_tool_outputs ?? []) assertCall(call)
}

export function assertStep(step: MemgptStep): void {
  assertFields(step, stepFields)
  assert.equal(step.object, 'thread.run.step')
  assert.equal(step.step_defaults.type, step.type)
  if (step.step_defaults.type === 'tool_calls') step.step_defaults.tool_calls.forEach(assertCall)
  else assert.deepEqual(Object.keys(step.step_defaults).toSorted(), ['message_id', 'type'])
}

function assertCall(call: MemgptCall): void {
  assert.deepEqual(Object.keys(call).toSorted(), ['function', 'id', 'type'])
  assert.deepEqual(Object.keys(call.function).toSorted(), ['arguments', 'name'])
}

function assertFields<T extends object>(value: T, fields: Fields<T>): void {
  assert.deepEqual(Object.keys(value).toSorted(), Object.keys(fields).toSorted())
  for (const [name, kinds] of Object.entries<string[]>(fields)) {
    const kind = kindOf(value[name as keyof T])
    assert.ok(kinds.includes(kind), `${name} is ${kind}, and must be ${kinds.join(' or ')}`)
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

/** A refusal with one text. */
export async function failed(
  t: Target,
  expected: { status: number; text: string | RegExp },
  method: string,
  path: string,
  body?: unknown,
): Promise<void> {
  const { status, json, text } = await ask<{ detail: string }>(t, method, path, body)
  assert.equal(status, expected.status, text)
  assert.deepEqual(Object.keys(json), ['detail'])
  if (typeof expected.text === 'string') assert.equal(json.detail, expected.text)
  else assert.match(json.detail, expected.text)
}

/** The faults of a request that is not valid. */
export async function faults(t: Target, method: string, path: string, body?: unknown): Promise<Fault[]> {
  const { status, json, text } = await ask<{ detail: Fault[] }>(t, method, path, body)
  assert.equal(status, 422, text)
  assert.ok(json.detail.length > 0)
  for (const { loc, msg, type } of json.detail) {
    assert.ok(Array.isArray(loc) && msg.length > 0 && type.length > 0, text)
  }
  return json.detail
}

/** A run of the dialect when it has stopped. */
export async function stoppedRun(
  t: Target,
  { id, thread_id }: Pick<MemgptRun, 'id' | 'thread_id'>,
): Promise<MemgptRun> {
  await t.stopped({ id, thread_id } as Run)
  return gotRun(t, 'GET', `/v1/threads/${thread_id}/runs/${id}`)
}
