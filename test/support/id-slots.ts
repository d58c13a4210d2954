import assert from 'node:assert/strict'
import type { JsonSchema } from '../../src/http/openapi-schema.ts'
import type { Described, Placed } from './described.ts'

// The places of an operation at which a request may name a record, found in the server's description of itself, and requests
// that name what a test wants there.

export type Kind = 'assistant' | 'thread' | 'message' | 'run' | 'step' | 'file' | 'call'

/** Ids by their kind. */
export type Ids = Record<Kind, string>

/** A place for an id. */
export interface Slot {
  in: 'path' | 'query' | 'body'
  /** `[]` is any item of a list. */
  at: readonly string[]
  /** Null for what names no record: it is any text. */
  kind: Kind | null
}

/** What is asked for at a slot; null is an answer for those that name no record. */
const kinds: Record<string, Kind | null> = {
  assistant_id: 'assistant',
  thread_id: 'thread',
  run_id: 'run',
  message_id: 'message',
  step_id: 'step',
  file_id: 'file',
  file_ids: 'file',
  tool_call_id: 'call',
  // The thread of a memgpt run, by its own name.
  'thread.id': 'thread',
  // There are no vector stores.
  vector_store_ids: null,
}

/** What the lists of these URLs hold: that is what their cursors are. */
const listed: Record<string, Kind> = {
  assistants: 'assistant',
  threads: 'thread',
  messages: 'message',
  runs: 'run',
  steps: 'step',
  files: 'file',
}

function kindOf(name: string, parent: string | undefined): Kind | null {
  const kind = kinds[name === 'id' ? `${parent ?? ''}.id` : name]
  assert.ok(
    kind !== undefined,
    `what kind of id is ${parent ?? ''} ${name}? Say it in test/support/id-slots.ts`,
  )
  return kind
}

const isId = (name: string) => /^(.*_)?ids?$/.test(name)

/** All slots of an operation. Fails for one that it does not know. */
export function slotsOf(described: Described, placed: Placed): Slot[] {
  const parameters = described.parameters(placed.operation)
  const ofPath = parameters.filter((one) => one.in === 'path' && isId(one.name))
  const ofQuery = parameters.filter((one) => one.in === 'query')
  const last = placed.path.split('/').findLast((part) => !part.startsWith('{')) ?? ''
  const cursors = last in listed ? ['after', 'before'] : []
  return [
    ...ofPath.map(({ name }): Slot => ({ in: 'path', at: [name], kind: kindOf(name, undefined) })),
    ...ofQuery.flatMap(({ name }): Slot[] => {
      if (cursors.includes(name)) return [{ in: 'query', at: [name], kind: listed[last] ?? null }]
      return isId(name) ? [{ in: 'query', at: [name], kind: kindOf(name, undefined) }] : []
    }),
    ...slotsOfBody(described, placed),
  ]
}

/** The schema of an operation's JSON, or null. */
function bodyOf({ operation }: Placed): JsonSchema | null {
  const content = operation.requestBody?.content['application/json']
  return content ? (content.schema as JsonSchema) : null
}

function slotsOfBody(described: Described, placed: Placed): Slot[] {
  const schema = bodyOf(placed)
  const paths = schema ? texts(described, schema, []) : []
  const unique = [...new Map(paths.map((at) => [at.join('.'), at])).values()]
  return unique.flatMap((at) => {
    const [name, parent] = at.filter((part) => part !== '[]').toReversed()
    return name !== undefined && isId(name) ? [{ in: 'body', at, kind: kindOf(name, parent) }] : []
  })
}

interface Plain {
  $ref?: string
  anyOf?: JsonSchema[]
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  properties?: Record<string, JsonSchema>
  required?: string[]
  items?: JsonSchema
  minItems?: number
  minimum?: number
}

function resolved(described: Described, schema: JsonSchema): Plain {
  const plain = schema as Plain
  if (plain.$ref === undefined) return plain
  return described.document.components.schemas[plain.$ref.split('/').at(-1) ?? ''] as Plain
}

/** Where a value of this schema may have texts. */
function texts(described: Described, schema: JsonSchema, at: string[]): string[][] {
  const { anyOf, type, properties, items, ...rest } = resolved(described, schema)
  if (anyOf) return anyOf.flatMap((one) => texts(described, one, at))
  if (properties)
    return Object.entries(properties).flatMap(([name, one]) => texts(described, one, [...at, name]))
  if (items) return texts(described, items, [...at, '[]'])
  const isText = [type].flat().includes('string') && rest.const === undefined && rest.enum === undefined
  return isText ? [at] : []
}

/** A request as `fetch` takes it. */
export interface Made {
  method: string
  path: string
  body: unknown
  /** The version that it has to name. */
  beta: string | null
}

/** The smallest request of an operation that has `asked` at these slots, and `own` wherever else an id has to be. */
export function requestOf(
  described: Described,
  placed: Placed,
  slots: readonly Slot[],
  own: Ids,
  asked: Ids,
): Made {
  const at = (place: Slot['in']) => slots.filter((slot) => slot.in === place)
  const ids = new Map(at('path').map((slot) => [slot.at[0], asked[slot.kind ?? 'file']]))
  const path = placed.path.replaceAll(
    /\{(\w+)\}/g,
    (_, name: string) => ids.get(name) ?? (isId(name) ? own[kindOf(name, undefined) ?? 'file'] : 'demo'),
  )
  const query = new URLSearchParams()
  for (const slot of at('query')) query.set(slot.at[0] ?? '', asked[slot.kind ?? 'file'])
  const schema = bodyOf(placed)
  const [slot] = at('body')
  // Where no field is required by itself, one of several is.
  const want =
    slot?.at ?? slotsOfBody(described, placed).find(({ at }) => at[0]?.startsWith('tool'))?.at ?? null
  const maker = new Maker(described, own, slot ? asked : own)
  const body = schema ? maker.value(schema, want, []) : undefined
  const beta = described.parameters(placed.operation).find(({ name }) => name === 'OpenAI-Beta')
  const version = (beta?.schema as Plain | undefined)?.const
  return {
    method: placed.method.toUpperCase(),
    path: query.size > 0 ? `${path}?${query.toString()}` : path,
    body,
    beta: typeof version === 'string' ? version : null,
  }
}

class Maker {
  readonly #described: Described
  readonly #own: Ids
  readonly #asked: Ids

  constructor(described: Described, own: Ids, asked: Ids) {
    this.#described = described
    this.#own = own
    this.#asked = asked
  }

  /** A value of the schema; the text at `want` is an id that is asked for. */
  value(schema: JsonSchema, want: readonly string[] | null, above: readonly string[]): unknown {
    const plain = resolved(this.#described, schema)
    if (plain.anyOf) return this.value(this.#branch(plain.anyOf, want), want, above)
    if (plain.const !== undefined) return plain.const
    if (plain.enum) return plain.enum[0]
    const type = [plain.type].flat()[0]
    if (type === 'object') return this.#object(plain, want, above)
    if (type === 'array') {
      const count = want ? 1 : (plain.minItems ?? 0)
      const items = plain.items ?? {}
      return Array.from({ length: count }, () => this.value(items, want?.slice(1) ?? null, above))
    }
    if (type === 'integer' || type === 'number') return plain.minimum ?? 1
    if (type === 'boolean') return false
    return type === 'string' ? this.#text(want !== null, above) : null
  }

  #object(
    { properties = {}, required = [] }: Plain,
    want: readonly string[] | null,
    above: readonly string[],
  ) {
    const names = want?.[0] === undefined ? required : [...new Set([...required, want[0]])]
    return Object.fromEntries(
      names.map((name) => {
        const inner = want?.[0] === name ? want.slice(1) : null
        return [name, this.value(properties[name] ?? {}, inner, [...above, name])]
      }),
    )
  }

  #text(isWanted: boolean, above: readonly string[]): string {
    const [name = '', parent] = above.toReversed()
    if (!isId(name)) return name === 'url' ? 'https://mill.example/a.png' : 'mock-model'
    return (isWanted ? this.#asked : this.#own)[kindOf(name, parent) ?? 'file']
  }

  /** The first alternative that has a text where one is wanted, or that is not null. */
  #branch(anyOf: readonly JsonSchema[], want: readonly string[] | null): JsonSchema {
    const fits = (one: JsonSchema) =>
      want === null
        ? resolved(this.#described, one).type !== 'null'
        : texts(this.#described, one, []).some((at) => at.join('.') === want.join('.'))
    return anyOf.find(fits) ?? assert.fail(`nothing has ${want?.join('.')}`)
  }
}
