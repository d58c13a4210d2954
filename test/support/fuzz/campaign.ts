import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import type { Document } from '../../../src/http/openapi.ts'
import type { Placed } from '../described.ts'
import { Random } from '../simulation/random.ts'
import { makeCase, type FuzzCase, type Known } from './cases.ts'

// Sends malformed requests, many at a time, and judges what comes back: no fault of the server's, no connection that breaks, and
// every refusal in the form that its dialect has.

export interface FuzzResult {
  /** How many answers had each status. */
  statuses: Map<number, number>
  /** What was answered wrongly, each with the request that shows it. */
  faults: string[]
  slowestMs: number
}

interface Heard {
  status: number
  type: string
  body: string
}

/** Milliseconds after which a request counts as one without an answer. */
const patienceMs = 20_000

/** Characters of an answer that are looked at; streams are left behind them. */
const looked = 20_000

export async function fuzz(
  url: string,
  document: Document,
  { requests, seed, width = 16 }: { requests: number; seed: number; width?: number },
): Promise<FuzzResult> {
  const random = new Random(seed)
  const placed = Object.entries(document.paths).flatMap(([path, item]): Placed[] =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  )
  const known = await someOfEach(url)
  const result: FuzzResult = { statuses: new Map(), faults: [], slowestMs: 0 }
  const agent = new Agent({ keepAlive: false, maxSockets: width })
  let left = requests
  const worker = async () => {
    while (left-- > 0) {
      // Drawn by whoever is next: the requests are those of the seed, the order in which they arrive is not.
      const drawn = makeCase(random, document, placed, known)
      if (random.chance(0.02)) await garbled(url, drawn, random)
      const since = performance.now()
      const fault = judge(await send(url, drawn, agent).catch((error: Error) => error.message), result)
      result.slowestMs = Math.max(result.slowestMs, performance.now() - since)
      if (fault) result.faults.push(`${fault}: ${shown(drawn)}`)
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  agent.destroy()
  return result
}

/** Things to ask for: without them every request would end at the first id. */
async function someOfEach(url: string): Promise<Known> {
  const post = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json', 'openai-beta': 'assistants=v2' }
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    return ((await answer.json()) as { id: string }).id
  }
  const assistant = await post('/v1/assistants', { model: 'demo' })
  const threads = await Promise.all(
    Array.from({ length: 20 }, () => post('/v1/threads', { messages: [{ role: 'user', content: 'x' }] })),
  )
  const [thread = ''] = threads
  const message = await post(`/v1/threads/${thread}/messages`, { role: 'user', content: 'y' })
  const run = await post(`/v1/threads/${thread}/runs`, { assistant_id: assistant })
  return {
    assistant_id: [assistant],
    thread_id: threads,
    message_id: [message],
    run_id: [run],
    model: ['demo'],
  }
}

function send(url: string, { method, path, headers, body }: FuzzCase, agent: Agent): Promise<Heard> {
  const { promise, resolve, reject } = Promise.withResolvers<Heard>()
  const { hostname, port } = new URL(url)
  const length = body === null ? {} : { 'content-length': String(body.length) }
  const sent = request(
    { hostname, port, method, path, headers: { ...headers, ...length }, agent },
    (answer) => {
      const { statusCode: status = 0, headers } = answer
      const type = headers['content-type'] ?? ''
      let text = ''
      const done = () => resolve({ status, type, body: text })
      answer.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
        if (text.length < looked) return
        done()
        answer.destroy()
      })
      answer.on('end', done).on('error', reject)
    },
  )
  sent.setTimeout(patienceMs, () => sent.destroy(new Error('there was no answer')))
  sent.on('error', reject)
  sent.end(body ?? undefined)
  return promise
}

/** What no HTTP client would send, on a connection of its own; whatever is answered, the server must live. */
function garbled(url: string, { method, path, body }: FuzzCase, random: Random): Promise<void> {
  const { hostname, port } = new URL(url)
  const lines = random.pick([
    `${method} ${path} HTTP/1.1\r\nhost: ${hostname}\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!`,
    `${method} ${path} HTTP/1.1\r\nhost: ${hostname}\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nzz\r\n`,
    `${method} ${path} HTTP/1.1\r\n${'x: y\r\n'.repeat(3_000)}\r\n`,
    `${method} ${path}\0 HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`,
    `GET http://elsewhere.example${path} HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n`,
    `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03`,
    `POST ${path} HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\ncontent-length: 999999\r\n\r\n`,
  ])
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(lines + (body?.toString('latin1') ?? ''), 'latin1')
      socket.end()
    })
    socket.setTimeout(500, () => socket.destroy())
    socket
      .on('error', () => {})
      .on('close', () => resolve())
      .resume()
  })
}

const leaks = /\\n\s+at |node:internal|postgres:\/\/|\bECONN|syntax error at|relation \\"|pg_catalog/

/** What is wrong with an answer; null if nothing is. */
function judge(heard: Heard | string, { statuses }: FuzzResult): string | null {
  if (typeof heard === 'string') return `no answer (${heard})`
  const { status, type, body } = heard
  statuses.set(status, (statuses.get(status) ?? 0) + 1)
  if (status >= 500) return `${status} ${body.slice(0, 200)}`
  if (status < 400 || body === '') return null
  if (leaks.test(body)) return `an answer that tells of the inside: ${body.slice(0, 300)}`
  if (!type.startsWith('application/json')) return `${status} of the type ${type}`
  const { error, detail } = JSON.parse(body) as { error?: Record<string, unknown>; detail?: unknown }
  const told = error
    ? typeof error['message'] === 'string' && 'param' in error && 'code' in error
    : Boolean(detail)
  return told ? null : `an error without a form: ${body.slice(0, 200)}`
}

function shown({ method, path, headers, body }: FuzzCase): string {
  return `${method} ${path.slice(0, 200)} ${JSON.stringify(headers).slice(0, 400)} ${body?.toString('utf8').slice(0, 400) ?? ''}`
}
