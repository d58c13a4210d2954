import type { ChatBody } from './chat-body.ts'
import { isObject, parseJson } from './json.ts'
import type { ChatMessage } from './model.ts'

// What the demo model answers, decided from the request alone. People steer it by commands in the newest user
// message, in any case:
//   /call NAME {"json": "arguments"}   calls a tool of the run; several make parallel calls
//   /slow SECONDS                      spreads the answer over that time
//   /fail STATUS                       answers that HTTP status (400 to 599)
//   /cut                               breaks off in the middle
//   /length, /filter                   ends as a model does that hit its limit, or a content filter

export interface DemoCall {
  name: string
  arguments: string
}

export type DemoAnswer =
  | { kind: 'failure'; status: number }
  | {
      kind: 'answer'
      text: string
      calls: DemoCall[]
      /** Over which the answer is spread. */
      seconds: number
      end: 'stop' | 'length' | 'content_filter' | 'cut'
    }

type Spoken = Extract<DemoAnswer, { kind: 'answer' }>

const introduction = "I am Threadmill's built-in demo model: scripted, not a real model."
const advice = 'Set OPENAI_BASE_URL or OPENAI_API_KEY to put a real one in my place.'
const echoedChars = 200

/** The answer to this request. */
export function demoAnswer(body: ChatBody): DemoAnswer {
  const outputs = newestOutputs(body.messages)
  if (outputs.length > 0) return spoken(`${introduction} The tools answered: ${outputs.join('; ')}`)
  const said = newestUserText(body.messages)
  const status = /(?:^|\s)\/fail\s+([45]\d\d)\b/i.exec(said)?.[1]
  if (status !== undefined) return { kind: 'failure', status: Number(status) }
  const { calls, problem } = callsFor(body, said)
  if (problem !== undefined) return spoken(problem)
  if (calls.length > 0) return { ...spoken(''), calls }
  const pace = {
    seconds: Number(/(?:^|\s)\/slow\s+(\d+(?:\.\d+)?)/i.exec(said)?.[1] ?? 0),
    end: endFor(said),
  }
  return { ...spoken(`${introduction} You said: "${shortened(said)}". ${advice}`), ...pace }
}

function spoken(text: string): Spoken {
  return { kind: 'answer', text, calls: [], seconds: 0, end: 'stop' }
}

function endFor(said: string): Spoken['end'] {
  const command = /(?:^|\s)\/(cut|length|filter)\b/i.exec(said)?.[1]?.toLowerCase()
  if (command === 'filter') return 'content_filter'
  return command === 'cut' || command === 'length' ? command : 'stop'
}

function newestUserText(messages: readonly ChatMessage[]): string {
  const newest = messages.findLast((message) => message.role === 'user')
  if (newest === undefined) return ''
  if (typeof newest.content === 'string') return newest.content
  return newest.content.map((part) => (part.type === 'text' ? part.text : '')).join('\n')
}

/** The outputs that the conversation ends in, each behind its function's name. */
function newestOutputs(messages: readonly ChatMessage[]): string[] {
  const names = new Map<string, string>()
  let outputs: string[] = []
  for (const message of messages) {
    if (message.role === 'tool') {
      outputs.push(`${names.get(message.tool_call_id) ?? 'a tool'} said "${shortened(message.content)}"`)
      continue
    }
    outputs = []
    if (message.role !== 'assistant') continue
    for (const call of message.tool_calls ?? []) names.set(call.id, call.function.name)
  }
  return outputs
}

function callsFor(body: ChatBody, said: string): { calls: DemoCall[]; problem?: string } {
  const { tools = [], tool_choice: choice, parallel_tool_calls: parallel } = body
  const names = tools.map((tool) => tool.function.name)
  const asked = choice === 'none' ? [] : readCalls(said)
  const calls: DemoCall[] = []
  for (const call of asked) {
    const name = names.find((each) => each.toLowerCase() === call.name.toLowerCase())
    if (name === undefined) {
      const known =
        names.length > 0 ? `The tools of this run are: ${names.join(', ')}.` : 'This run has no tools.'
      return { calls: [], problem: `${introduction} I cannot call "${call.name}". ${known}` }
    }
    if (!isObject(parseJson(call.arguments))) {
      return { calls: [], problem: `${introduction} The arguments of "${name}" are not a JSON object.` }
    }
    calls.push({ name, arguments: call.arguments })
  }
  const demanded =
    typeof choice === 'object' ? choice.function.name : choice === 'required' ? names[0] : undefined
  if (demanded === undefined) return { calls: parallel === false ? calls.slice(0, 1) : calls }
  const wanted = typeof choice === 'object' ? calls.filter((call) => call.name === demanded) : calls
  const made = wanted.length > 0 ? wanted : [{ name: demanded, arguments: '{}' }]
  return { calls: parallel === false ? made.slice(0, 1) : made }
}

function readCalls(said: string): DemoCall[] {
  return [...said.matchAll(/(?:^|\s)\/call\s+([\w-]+)[^\S\n]*/gi)].map((match) => ({
    name: match[1] ?? '',
    arguments: objectAt(said, match.index + match[0].length),
  }))
}

/** The JSON object that begins at `from`, as written; `{}` where none begins. */
function objectAt(text: string, from: number): string {
  if (text[from] !== '{') return '{}'
  let depth = 0
  let inString = false
  for (let at = from; at < text.length; at++) {
    const char = text[at]
    if (inString) {
      if (char === '\\') at++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{') depth++
    else if (char === '}' && --depth === 0) return text.slice(from, at + 1)
  }
  return text.slice(from)
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > echoedChars ? `${line.slice(0, echoedChars).toWellFormed()}...` : line
}
