import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from './random.ts'

// The model behind the servers: Chat Completions over loopback HTTP. It keeps a journal of all calls, which tells whether
// a turn was run again, and answers each turn of a job with the same words, so that what is stored can be foretold.

export interface ModelCall {
  /** Of the run that called, as its instructions name it. */
  job: string
  /** Which server called. */
  node: string
  /** Outputs that the prompt holds of this run: 0 in its first turn. */
  turn: number
  at: number
  /** When the answer was sent whole, or the connection broke. */
  endedAt: number | null
  whole: boolean
}

export interface JournalModel {
  /** The base URL by which `node` calls. */
  urlFor(node: string): string
  calls: ModelCall[]
  close(): Promise<void>
}

/** What the model says in a turn that ends a run. */
export function answerTo(job: string, turn: number): string {
  return `This is what was said about ${job} in turn ${turn}, word by word, so that it comes in pieces.`
}

/** What each call uses, as the model says. */
const usage = { prompt_tokens: 11, completion_tokens: 6, total_tokens: 17 }

interface Body {
  messages: { role: string; content: unknown }[]
  tools?: unknown[]
}

/** Starts the model. Pieces of an answer come up to `longest` milliseconds apart. */
export async function startModel(random: Random, longest: number): Promise<JournalModel> {
  const calls: ModelCall[] = []
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy())
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = JSON.parse(Buffer.concat(parts).toString()) as Body
    const job = /job-\S+/.exec(String(body.messages[0]?.content))?.[0] ?? 'unknown'
    const turn = body.messages.filter(({ role }) => role === 'tool').length
    const node = decodeURIComponent(request.url?.split('/')[1] ?? '')
    const call: ModelCall = { job, node, turn, at: performance.now(), endedAt: null, whole: false }
    calls.push(call)
    response.on('close', () => {
      call.endedAt = performance.now()
      call.whole = response.writableFinished
    })
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const last = job.endsWith('-tool') && turn === 0 ? callPieces(job) : textPieces(job, turn)
    for (const piece of last) {
      await sleep(random.below(longest))
      if (response.destroyed) return
      response.write(`data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, ...piece }] })}\n\n`)
    }
    response.write(`data: ${JSON.stringify({ id: 'c', choices: [], usage })}\n\n`)
    response.end('data: [DONE]\n\n')
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    urlFor: (node) => `http://127.0.0.1:${port}/${encodeURIComponent(node)}/v1`,
    calls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function textPieces(job: string, turn: number): object[] {
  const pieces = answerTo(job, turn).split(/(?<= )/)
  const grouped = Array.from({ length: Math.ceil(pieces.length / 3) }, (_, i) =>
    pieces.slice(i * 3, i * 3 + 3).join(''),
  )
  return [...grouped.map((content) => ({ delta: { content } })), { delta: {}, finish_reason: 'stop' }]
}

function callPieces(job: string): object[] {
  const id = `call_${job.replaceAll(/\W/g, '')}`
  const first = { index: 0, id, type: 'function', function: { name: 'look', arguments: '' } }
  return [
    { delta: { tool_calls: [first] } },
    { delta: { tool_calls: [{ index: 0, function: { arguments: '{"job":' } }] } },
    { delta: { tool_calls: [{ index: 0, function: { arguments: `"${job}"}` } }] } },
    { delta: {}, finish_reason: 'tool_calls' },
  ]
}
