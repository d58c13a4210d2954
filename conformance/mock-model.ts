import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

// The model behind the server under test: Chat Completions over loopback HTTP, told by the newest user message what
// to do, since nothing else of a foreign server can be reached. A message may hold one of these:
//
//   #calls f g       calls these tools of the request, side by side; text once their outputs are there
//   #say-calls f     says something first
//   #odd-calls f     call ids that are none of the API's
//   #rounds 3 f      calls f again and again, three times in all
//   #length #filter  stops for that reason, in the middle of the text
//   #cut             breaks the connection off in the middle of the text
//   #hang            says one word, and then nothing until the server goes away
//   #status 429      answers this status
//   #leak            answers 401, and repeats the key that it was sent
//   #usage 300 20    (beside another) reports this many prompt and completion tokens

/** What the server under test asked of the model. */
export interface Asked {
  model: string
  messages: { role: string; content: unknown; tool_calls?: { id: string }[]; tool_call_id?: string }[]
  tools?: { function: { name: string } }[]
  tool_choice?: unknown
  parallel_tool_calls?: boolean
  response_format?: unknown
  temperature?: number
  top_p?: number
  reasoning_effort?: string
  max_completion_tokens?: number
  max_tokens?: number
}

export interface ConformanceModel {
  /** For OPENAI_BASE_URL of the server under test. */
  url: string
  /** The requests whose conversation contains this text, in order of arrival. */
  askedWith(text: string): Asked[]
  /** The key that came with the newest request, or null. */
  readonly key: string | null
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts the model on `port` of the loopback, 0 for any. Throws if the port is taken. */
export async function startConformanceModel(port: number): Promise<ConformanceModel> {
  const all: { asked: Asked; text: string }[] = []
  let key: string | null = null
  const server = createServer((request, response) => {
    key = request.headers.authorization?.replace(/^Bearer /, '') ?? null
    const note = (asked: Asked) => all.push({ asked, text: JSON.stringify(asked.messages) })
    // What the server sent cannot be read: it sees the connection end.
    answer(request, response, note).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    askedWith: (text) => all.filter((one) => one.text.includes(text)).map(({ asked }) => asked),
    get key() {
      return key
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  note: (asked: Asked) => void,
): Promise<void> {
  if (request.method === 'GET') {
    const data = [{ id: 'conformance', object: 'model', created: 1, owned_by: 'conformance' }]
    sendJson(response, 200, { object: 'list', data })
    return
  }
  const bytes: Buffer[] = []
  for await (const chunk of request) bytes.push(chunk as Buffer)
  const asked = JSON.parse(Buffer.concat(bytes).toString()) as Asked
  note(asked)
  const command = commandOf(asked)
  const status = command.is('leak') ? 401 : Number(command.words('status')[0] ?? 200)
  if (status !== 200) {
    const key = command.is('leak') ? ` Wrong key: ${request.headers.authorization}.` : ''
    sendJson(response, status, {
      error: { message: `The model says ${status}.${key}`, type: 'x', code: null },
    })
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  delta(response, { role: 'assistant', content: '' })
  const finish = await speak(response, command, asked)
  if (finish === null) return
  const [prompt_tokens = 30, completion_tokens = 10] = command.words('usage').slice(0, 2).map(Number)
  chunk(response, { choices: [{ index: 0, delta: {}, finish_reason: finish }] })
  const total_tokens = prompt_tokens + completion_tokens
  chunk(response, { choices: [], usage: { prompt_tokens, completion_tokens, total_tokens } })
  response.end('data: [DONE]\n\n')
}

interface Command {
  text: string
  is(name: string): boolean
  /** The words that follow the command of this name. */
  words(name: string): string[]
  /** Tool outputs that have come since. */
  outputs: number
}

/** What the newest user message tells. */
function commandOf({ messages }: Asked): Command {
  const at = messages.findLastIndex(({ role }) => role === 'user')
  const content = messages[at]?.content ?? ''
  const parts = typeof content === 'string' ? [{ text: content }] : (content as { text?: string }[])
  const text = parts.map((part) => part.text ?? '').join(' ')
  const words = (name: string) =>
    / [^#]*/
      .exec(text.split(`#${name}`)[1] ?? '')?.[0]
      .trim()
      .split(/\s+/) ?? []
  const outputs = messages.slice(at + 1).filter(({ role }) => role === 'tool').length
  return { text, outputs, words, is: (name) => text.includes(`#${name}`) }
}

/** Says what was told; returns why it ended, or null if the answer stays without an end. */
async function speak(response: ServerResponse, command: Command, asked: Asked): Promise<string | null> {
  const calls = namesToCall(command).filter((name) => isToolOf(asked, name))
  if (calls.length > 0) {
    if (command.is('say-calls')) delta(response, { content: 'One moment.' })
    for (const [index, name] of calls.entries()) call(response, index, name, command.is('odd-calls'))
    return 'tool_calls'
  }
  if (command.is('hang') || command.is('cut')) {
    await new Promise((resolve) => response.write(textChunk('Part'), resolve))
    if (command.is('cut')) response.destroy()
    return null
  }
  if (command.is('length') || command.is('filter')) {
    delta(response, { content: 'Part' })
    return command.is('length') ? 'length' : 'content_filter'
  }
  for (const content of ['Heard', ': ', command.text.slice(0, 200) || 'nothing']) delta(response, { content })
  return 'stop'
}

function namesToCall(command: Command): string[] {
  const [rounds = '0', again = ''] = command.words('rounds')
  if (command.outputs < Number(rounds)) return [again]
  if (command.outputs > 0) return []
  return ['calls', 'say-calls', 'odd-calls'].flatMap((name) => command.words(name))
}

function isToolOf({ tools = [] }: Asked, name: string): boolean {
  return tools.some((tool) => tool.function.name === name)
}

/** A call whose arguments, `{"n":1}`, come in two fragments. */
function call(response: ServerResponse, index: number, name: string, odd: boolean): void {
  const unique = Math.random().toString(36).slice(2)
  const id = odd ? `odd:${unique}` : `call_${unique}`
  delta(response, { tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] })
  for (const fragment of ['{"n":', '1}']) {
    delta(response, { tool_calls: [{ index, function: { arguments: fragment } }] })
  }
}

const wrapped = (fields: object) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm', ...fields })}\n\n`

const textChunk = (content: string) =>
  wrapped({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })

function delta(response: ServerResponse, value: object): void {
  chunk(response, { choices: [{ index: 0, delta: value, finish_reason: null }] })
}

function chunk(response: ServerResponse, fields: object): void {
  response.write(wrapped(fields))
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
