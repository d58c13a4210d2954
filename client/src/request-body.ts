/** A body as it is sent, with the content type that goes with it. */
export interface EncodedBody {
  content: string | Uint8Array<ArrayBuffer> | undefined
  contentType: string | undefined
}

/**
 * The body of a request: form fields if `contentType` is that of a form, else `body` as JSON, or as it is if it is
 * text or bytes already.
 */
export async function encodeBody(
  contentType: string | undefined,
  fields: Record<string, unknown>,
  body: unknown,
): Promise<EncodedBody> {
  if (contentType === 'application/x-www-form-urlencoded') {
    const content = new URLSearchParams(texts(fields)).toString()
    return { content, contentType }
  }
  // The boundary stands in the content type.
  if (contentType === 'multipart/form-data') return encode(await form(fields))
  if (body === undefined || body === null) return { content: undefined, contentType }
  const type = contentType ?? 'application/json'
  if (typeof body === 'string' || body instanceof Uint8Array)
    return { content: body as string | Uint8Array<ArrayBuffer>, contentType: type }
  if (body instanceof Blob) return { ...(await encode(body)), contentType: body.type || type }
  return { content: JSON.stringify(body), contentType: type }
}

/** Whether a value is the content of a file: a Blob, a Buffer or a read stream of Node. */
export function isFile(value: unknown): boolean {
  if (typeof Blob === 'function' && value instanceof Blob) return true
  if (typeof Buffer === 'function' && Buffer.isBuffer(value)) return true
  return isReadStream(value)
}

function isReadStream(value: unknown): value is AsyncIterable<Uint8Array<ArrayBuffer>> & { path: unknown } {
  if (typeof value !== 'object' || value === null) return false
  return 'pipe' in value && 'path' in value && Symbol.asyncIterator in value
}

function texts(fields: Record<string, unknown>): [string, string][] {
  return Object.entries(fields).flatMap(([name, value]) =>
    [value].flat().map((each): [string, string] => [name, String(each as string)]),
  )
}

async function form(fields: Record<string, unknown>): Promise<FormData> {
  const data = new FormData()
  for (const [name, value] of Object.entries(fields)) {
    for (const each of [value].flat()) {
      if (!isFile(each)) data.append(name, String(each as string))
      else if (isReadStream(each)) data.append(name, await readAll(each), fileName(each.path))
      else data.append(name, each instanceof Blob ? each : new Blob([each as Uint8Array<ArrayBuffer>]))
    }
  }
  return data
}

async function readAll(stream: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Blob> {
  const chunks: Uint8Array<ArrayBuffer>[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return new Blob(chunks)
}

function fileName(path: unknown): string {
  return String(path as string).replace(/^.*[/\\]/, '')
}

async function encode(body: FormData | Blob): Promise<EncodedBody> {
  const encoded = new Response(body)
  const contentType = encoded.headers.get('content-type') ?? undefined
  return { content: new Uint8Array(await encoded.arrayBuffer()), contentType }
}
