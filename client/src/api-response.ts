import { isJsonMime } from './mime.ts'

/** An answer of the server, read to its end. */
export interface ApiResponse {
  /** The status, for instance 200. */
  status: number
  /** The same as `status`. */
  statusCode: number
  /** The phrase of the status, for instance "Not Found". */
  statusText: string
  /** Whether the status is 2xx. */
  ok: boolean
  /** The headers, by their names in lower case. */
  headers: Record<string, string>
  /** The same as `headers`. */
  header: Record<string, string>
  /** The content type without its parameters. */
  type: string
  /** The body as it came. */
  text: string
  /** What the JSON of the body says; null where the body is not JSON, a Blob where one was asked for. */
  body: unknown
  /** The id under which the server logged the request. */
  requestId: string | undefined
}

/** Phrases of statuses that servers of this API use; HTTP/2 sends none. */
const phrases: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Payload Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

/** Reads the body. Rejects when the connection breaks before its end. */
export async function readResponse(response: Response, asBlob = false): Promise<ApiResponse> {
  const { status, ok } = response
  const type = (response.headers.get('content-type') ?? '').split(';')[0]?.trim() ?? ''
  const headers = Object.fromEntries(response.headers)
  const blob = asBlob && ok ? await response.blob() : null
  const text = blob ? '' : await response.text()
  return {
    status,
    statusCode: status,
    statusText: response.statusText || (phrases[status] ?? `HTTP status ${status}`),
    ok,
    headers,
    header: headers,
    type,
    text,
    body: blob ?? parse(type, text),
    requestId: headers['x-request-id'],
  }
}

function parse(type: string, text: string): unknown {
  if (!isJsonMime(type) && !type.endsWith('+json')) return null
  try {
    return JSON.parse(text) as unknown
  } catch {
    // Whoever needs the body finds it missing and says what came instead.
    return null
  }
}
