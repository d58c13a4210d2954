import assert from 'node:assert/strict'
import { Ajv2020 as Ajv } from 'ajv/dist/2020.js'
import type { ValidateFunction } from 'ajv'
import type { Document } from '../../src/http/openapi.ts'
import type { OperationObject, Parameter } from '../../src/http/openapi-operation.ts'
import { parseFrame } from './contract.ts'

// The server's own description as the judge of what it takes and answers.

export interface Placed {
  path: string
  method: string
  operation: OperationObject
}

export class Described {
  readonly document: Document
  /** The operationIds that have answered 200. */
  readonly seen = new Set<string>()
  /** The statuses of errors that were seen. */
  readonly errors = new Set<string>()
  readonly #ajv = new Ajv({ strict: true, allErrors: true, validateFormats: false, allowUnionTypes: true })
  readonly #compiled = new Map<string, ValidateFunction>()

  constructor(document: Document) {
    this.document = document
    this.#ajv.addVocabulary(['openapi', 'info', 'servers', 'tags', 'paths', 'components'])
    this.#ajv.addSchema({ $id: 'document', ...document })
  }

  get placed(): Placed[] {
    return Object.entries(this.document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
    )
  }

  parameters({ parameters = [] }: OperationObject): Parameter[] {
    return parameters.map((one) => {
      if (!('$ref' in one)) return one
      return this.document.components.parameters[one.$ref.split('/').at(-1) ?? ''] ?? assert.fail(one.$ref)
    })
  }

  /** Compiles the schema at this place of the document. */
  validator(...place: string[]): ValidateFunction {
    const pointer = place
      .map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
      .join('/')
    const known = this.#compiled.get(pointer) ?? this.#ajv.compile({ $ref: `document#/${pointer}` })
    this.#compiled.set(pointer, known)
    return known
  }

  bodyValidator({ path, method }: Placed, type = 'application/json'): ValidateFunction {
    return this.validator('paths', path, method, 'requestBody', 'content', type, 'schema')
  }

  check(validate: ValidateFunction, value: unknown, what: string): void {
    if (validate(value)) return
    const faults = (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message ?? ''}`)
    assert.fail(`${what} is not as described: ${faults.join('; ')}\n${JSON.stringify(value).slice(0, 1_000)}`)
  }

  /** The operation that a request is one of, in the dialect of its answer. */
  find(method: string, pathname: string, dialect: string | null): Placed {
    const path = dialect === 'memgpt' ? pathname.replace(/^\/v1/, '/memgpt/v1') : pathname
    const matching = this.placed
      .filter((one) => one.method === method.toLowerCase())
      .filter((one) => new RegExp(`^${one.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path))
      // `/threads/runs` is no thread.
      .toSorted((a, b) => a.path.split('{').length - b.path.split('{').length)
    return matching[0] ?? assert.fail(`${method} ${path} is not described`)
  }

  /** A fetch that fails for an exchange that is not as described. */
  readonly fetch: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    const url = new URL(input instanceof Request ? input.url : input)
    const placed = this.find(
      init?.method ?? 'GET',
      url.pathname,
      response.headers.get('x-assistants-dialect'),
    )
    const text = await response.text()
    this.#judgeAnswer(placed, response, text)
    if (response.ok) this.#judgeRequest(placed, url, init ?? {})
    return new Response(text, response)
  }

  #judgeAnswer(placed: Placed, response: Response, text: string): void {
    const { path, method, operation } = placed
    const { status, headers } = response
    const what = `the answer ${status} of ${operation.operationId}`
    const described = operation.responses[String(status)] ?? assert.fail(`${what} is not described: ${text}`)
    const type = headers.get('content-type')?.split(';')[0] ?? ''
    assert.ok(described.content?.[type], `${what} has the type ${type}`)
    if (status < 300) {
      this.seen.add(operation.operationId)
      const known = Object.keys(described.headers ?? {})
      const ours = [...headers.keys()].filter((name) => /^(x-(?!accel|content-type)|openai-)/.test(name))
      for (const name of ours) assert.ok(known.includes(name), `${what} has the header ${name}`)
    } else this.errors.add(String(status))
    const validate = this.validator(
      'paths',
      path,
      method,
      'responses',
      String(status),
      'content',
      type,
      'schema',
    )
    if (type === 'application/json') this.check(validate, JSON.parse(text), what)
    if (type !== 'text/event-stream') return
    for (const { event, data } of text.split('\n\n').flatMap(parseFrame)) {
      const value: unknown = data === '[DONE]' ? data : JSON.parse(data)
      this.check(validate, { event, data: value }, `the event ${event}`)
    }
  }

  #judgeRequest(placed: Placed, url: URL, init: RequestInit): void {
    const { operation } = placed
    const parameters = this.parameters(operation)
    const query = parameters.filter((one) => one.in === 'query').map(({ name }) => name)
    for (const name of url.searchParams.keys()) {
      assert.ok(query.includes(name), `${operation.operationId} has no parameter ${name}`)
    }
    const headers = new Headers(init.headers)
    const needed = parameters.filter((one) => one.in === 'header' && one.required)
    for (const { name } of needed)
      assert.ok(headers.has(name), `${operation.operationId} was asked without ${name}`)
    if (typeof init.body === 'string' && init.body !== '') {
      const body: unknown = JSON.parse(init.body)
      this.check(this.bodyValidator(placed), body, `the body of ${operation.operationId}`)
    }
  }
}

/** The description that a server gives of itself. */
export async function describedBy(url: string): Promise<Described> {
  const response = await fetch(`${url}/openapi.json`)
  return new Described((await response.json()) as Document)
}
