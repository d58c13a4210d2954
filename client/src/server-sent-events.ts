/** An event of a stream (HTML standard, "Server-sent events"). */
export interface ServerSentEvent {
  /** The last id that was sent, with this event or before; empty if none was. */
  id: string
  event: string
  data: string
  /** Milliseconds to wait before the stream is taken up again, if the server has said so. */
  retry: number | undefined
}

/**
 * The events of a stream of bytes, which may be cut anywhere. An event that the end cuts off is dropped. `heard` is
 * called for whatever comes, also for comments that only keep the connection alive.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  heard: () => void = () => {},
): AsyncGenerator<ServerSentEvent, void> {
  let next: ServerSentEvent = { id: '', event: '', data: '', retry: undefined }
  for await (const line of readLines(body, heard)) {
    if (line !== '') {
      next = withField(next, line)
      continue
    }
    const { id, retry } = next
    if (next.data !== '') yield { ...next, event: next.event || 'message', data: next.data.slice(0, -1) }
    next = { id, retry, event: '', data: '' }
  }
}

/** The event with one more line of it. */
function withField(event: ServerSentEvent, line: string): ServerSentEvent {
  const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
  if (name === 'data') return { ...event, data: `${event.data}${value}\n` }
  if (name === 'event') return { ...event, event: value }
  if (name === 'id' && !value.includes('\0')) return { ...event, id: value }
  if (name === 'retry' && /^\d+$/.test(value)) return { ...event, retry: Number(value) }
  return event
}

async function* readLines(body: ReadableStream<Uint8Array>, heard: () => void): AsyncGenerator<string, void> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      heard()
      rest += decoder.decode(value, { stream: true })
      // A carriage return at the end may be half of a line's end.
      const lines = rest.split(/\r\n|\n|\r(?!$)/)
      rest = lines.pop() ?? ''
      yield* lines
    }
  } finally {
    // Who stops reading closes the connection.
    await reader.cancel().catch(() => undefined)
  }
}
