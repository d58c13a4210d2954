import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { ApiError } from '../contract/errors.ts'

/** Bytes of a request body. */
export const bodyLimit = 32 * 1024 * 1024

/** Levels of arrays and objects in a body. Far deeper ones overflow the stacks of JSON.stringify and Postgres. */
export const depthLimit = 200

const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Bodies are JSON. An empty body is no body, whatever its content type says: the Python SDK sends
 * `application/json` with zero bytes (wire.md §1).
 */
export function registerBodyParsers(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async ({ headers }: { headers: IncomingHttpHeaders }, body: Buffer) => {
      checkEncoding(headers)
      return parse(body)
    },
  )
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: { headers: object }, body: Buffer) => {
    if (body.length === 0) return undefined
    const type = (request.headers as Record<string, string>)['content-type'] ?? 'none'
    const message = `Unsupported content type '${type.slice(0, 100)}': send the request body as 'application/json'.`
    throw new ApiError('unsupported_content_type', message)
  })
}

/** JSON is UTF-8 (RFC 8259 §8.1), and comes as it is: what says otherwise would be read wrongly. */
function checkEncoding(headers: IncomingHttpHeaders): void {
  const charset = /;\s*charset="?([^\s;"]+)/i.exec(headers['content-type'] ?? '')?.[1]
  if (charset !== undefined && !/^(utf-?8|us-ascii)$/i.test(charset)) {
    const message = `Unsupported charset '${charset.slice(0, 100)}': send the request body as UTF-8.`
    throw new ApiError('unsupported_content_type', message)
  }
  const coding = headers['content-encoding']
  if (coding === undefined || /^(identity)?$/i.test(coding)) return
  const message = `Unsupported content encoding '${coding.slice(0, 100)}': send the request body as it is.`
  throw new ApiError('unsupported_content_type', message)
}

function parse(body: Buffer): unknown {
  if (body.length === 0) return undefined
  let text: string
  try {
    text = utf8.decode(body)
  } catch {
    throw new ApiError('malformed_json', 'The request body is not valid UTF-8.')
  }
  if (isTooDeep(body)) {
    throw new ApiError('malformed_json', `The request body is nested deeper than ${depthLimit} levels.`)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message.slice(0, 200) : ''
    throw new ApiError('malformed_json', `The request body is not valid JSON: ${reason}`)
  }
  // Only escapes can bring these in: the bytes were valid UTF-8, and JSON takes no raw control character.
  if (/\\u(0000|d[89a-f])/i.test(text)) refuseUnstorable(value, '')
  return value
}

/** Whether brackets outside of strings nest beyond the limit. Bytes will do: no other UTF-8 byte looks like these. */
function isTooDeep(body: Buffer): boolean {
  let depth = 0
  let inString = false
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]
    if (byte === 0x22) inString = !inString
    else if (inString) i += byte === 0x5c ? 1 : 0
    else if (byte === 0x5b || byte === 0x7b) depth += 1
    else if (byte === 0x5d || byte === 0x7d) depth -= 1
    if (depth > depthLimit) return true
  }
  return false
}

/** Postgres stores neither NUL nor half a surrogate pair. */
function refuseUnstorable(value: unknown, path: string): void {
  if (typeof value === 'string') {
    if (!value.includes('\0') && value.isWellFormed()) return
    const what = value.includes('\0') ? 'the NUL character' : 'half a surrogate pair'
    const where = path === '' ? 'the request body' : `'${path}'`
    throw new ApiError('invalid_value', `Invalid ${where}: the text contains ${what}.`, path || null)
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, item] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
    refuseUnstorable(key, path)
    refuseUnstorable(item, at)
  }
}
