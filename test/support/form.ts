import { connect, type Socket } from 'node:net'

// Forms by hand, with whatever a client may get wrong, and a socket that sends no more than it is told to.

export const boundary = 'xxBOUNDARYxx'
export const formType = `multipart/form-data; boundary=${boundary}`

/** A part's headers after its name, and its content. */
type Part = [disposition: string, content: string | Buffer]

/** The bytes of a form. `disposition` is what follows `form-data; `. */
export function formBytes(parts: Part[], end = `--${boundary}--\r\n`): Buffer<ArrayBuffer> {
  const sent = parts.flatMap(([disposition, content]) => [
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ])
  return Buffer.concat([...sent, Buffer.from(end)])
}

export function field(name: string, value: string): Part {
  return [`name="${name}"`, value]
}

export function file(content: string | Buffer, filename = 'a.txt'): Part {
  return [`name="file"; filename="${filename}"`, content]
}

/** A piece of a body of unknown length. */
export function chunked(data: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')])
}

/** A request whose head and first bytes have been sent. */
export interface OpenUpload {
  socket: Socket
  /** What the server answers until it ends the connection or `enough` has come. */
  answer: (enough?: RegExp) => Promise<string>
}

/** Sends the head of `POST /v1/files` and `bytes`, and leaves the request open. */
export async function openUpload(url: string, bytes: Buffer, length?: number): Promise<OpenUpload> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await new Promise((resolve) => socket.once('connect', resolve))
  let text = ''
  let watch = () => {}
  socket.setEncoding('latin1')
  socket.on('data', (data: string) => {
    text += data
    watch()
  })
  // A connection that is cut off while we send is what some tests are about.
  socket.on('error', () => {})
  const size = length === undefined ? 'transfer-encoding: chunked' : `content-length: ${length}`
  socket.write(`POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${formType}\r\n${size}\r\n\r\n`)
  socket.write(bytes)
  return {
    socket,
    answer: (enough = /\r\n\r\n.*\}$/s) =>
      new Promise((resolve) => {
        watch = () => {
          if (enough.test(text)) resolve(text)
        }
        socket.on('close', () => resolve(text))
        watch()
      }),
  }
}
