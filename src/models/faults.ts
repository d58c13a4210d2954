import { filled, isObject, parseJson } from './json.ts'
import { ModelError } from './model.ts'
import type { SettingNames, Transport, TransportError, TransportFault } from './transport.ts'

// Backend faults in the run's terms (wire.md §5). Their messages reach users as the run's last_error: they say
// what to do next, and pass a backend's own words on only scrubbed of credentials and bounded.

const quotedChars = 500
type Code = ModelError['code']
export type Scrub = (text: string) => string

const transportMessages = (url: string): Record<TransportFault, string> => ({
  refused: `The model endpoint refused the connection: check that it runs and that ${url} is right.`,
  unknown_host: `The host of the model endpoint was not found: check ${url}.`,
  untrusted: "The model endpoint's TLS certificate was not accepted.",
  connect_timeout: `The model endpoint could not be reached in time: check ${url} and the network.`,
  first_byte_timeout: 'The model endpoint did not begin to answer in time.',
  idle_timeout: 'The model endpoint stopped in the middle of its answer and sent nothing more in time.',
  cut: 'The connection to the model endpoint was cut before its answer was complete.',
  compressed: 'The model endpoint sent a compressed answer, which was not asked for.',
  aborted: 'The request to the model endpoint was aborted.',
})

/** A request that got no whole answer. */
export function faultOfTransport(error: TransportError, { url }: SettingNames): ModelError {
  return new ModelError('server_error', transportMessages(url)[error.fault], { cause: error })
}

/** An answer with a status other than 200; `text` is what was read of its body. */
export function faultOfStatus(
  status: number,
  text: string,
  { scrub, settings }: Pick<Transport, 'scrub' | 'settings'>,
): ModelError {
  if (status === 401 || status === 403) {
    // Not quoted: such answers tend to repeat parts of the key.
    const message = `The model endpoint refused the credentials (HTTP ${status}): check ${settings.key}.`
    return new ModelError('server_error', message)
  }
  const body = parseJson(text)
  const said = quote(messageIn(body) ?? plainText(text), scrub)
  return new ModelError(codeOfStatus(status, text), `The model endpoint answered HTTP ${status}${said}`)
}

/** An error object that came in place of a chunk or of the whole answer. */
export function faultInAnswer(error: unknown, scrub: Scrub): ModelError {
  const text = JSON.stringify(error) ?? ''
  const said = quote(messageIn({ error }) ?? '', scrub)
  return new ModelError(codeOfError(error, text), `The model endpoint reported an error${said}`)
}

/** The error object that stands in place of a chunk, if one does. */
export function errorIn(value: unknown): unknown {
  if (!isObject(value)) return undefined
  return value.error ?? undefined
}

/** Takes out what looks like a credential, whoever wrote it and whosever it is. */
export function scrubCredentials(text: string): string {
  return text
    .replace(/\b(Bearer|Basic)\s+[^\s"',]+/gi, '$1 [redacted]')
    .replace(/\bsk-[\w*.-]{3,}/g, '[redacted]')
}

function codeOfStatus(status: number, text: string): Code {
  if (status === 429 || text.includes('insufficient_quota')) return 'rate_limit_exceeded'
  if (status === 400 || status === 404 || status === 413 || status === 422) return 'invalid_prompt'
  return 'server_error'
}

/** In a stream the status has gone already: the code or type of the error stands in for it. */
function codeOfError(error: unknown, text: string): Code {
  const fields = isObject(error) ? [error.code, error.status, error.type] : []
  for (const field of fields) {
    const status = typeof field === 'number' ? field : Number(filled(field))
    if (Number.isInteger(status)) return codeOfStatus(status, text)
  }
  const names = fields.filter((field) => typeof field === 'string').join(' ')
  if (/insufficient_quota|rate_?limit|too_many_requests/i.test(names)) return 'rate_limit_exceeded'
  const prompt = /invalid_request|context_length|invalid_prompt|bad_?request|not_found|content_policy/i
  return prompt.test(names) ? 'invalid_prompt' : 'server_error'
}

/** The backend's own message, wherever the known servers put it. */
function messageIn(body: unknown): string | undefined {
  if (Array.isArray(body)) return messageIn(body[0])
  if (!isObject(body)) return filled(body)
  const { error, message, detail } = body
  if (isObject(error)) return filled(error.message) ?? filled(error.code) ?? filled(error.type)
  const nested = detail === undefined || typeof detail === 'string' ? detail : JSON.stringify(detail)
  return filled(error) ?? filled(message) ?? filled(nested)
}

/** A body that is no JSON, unless it is a page made for a browser. */
function plainText(text: string): string {
  const trimmed = text.trim()
  return trimmed.startsWith('<') || trimmed.startsWith('{') ? '' : trimmed
}

/** Scrubbed before it is cut, so that no half of a key escapes the patterns. */
function quote(said: string, scrub: Scrub): string {
  const clean = scrub(said)
    .replace(/\p{Cc}+/gu, ' ')
    .toWellFormed()
    .trim()
  if (clean === '') return '.'
  return clean.length > quotedChars ? `: ${clean.slice(0, quotedChars).toWellFormed()}...` : `: ${clean}`
}
