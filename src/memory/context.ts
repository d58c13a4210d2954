import type { MessageContent } from '../contract/objects.ts'
import type { Tool } from '../contract/tools.ts'
import type { MessageRecord, RunRecord, StepRecord } from '../domain/records.ts'
import { estimateTokens } from '../domain/usage.ts'
import type { ChatMessage, ChatPart, ModelRequest } from '../models/model.ts'
import { listMessages, newestMessages } from '../store/messages.ts'
import { getRunRow } from '../store/runs.ts'
import { stepsOfRun } from '../store/steps.ts'
import type { Store } from '../store/store.ts'

// What the model is shown: the run's instructions, as much of the thread as fits, and what the run itself has
// done so far.

/** A page of history; reading stops at the first page that overfills the window. */
const historyPage = 100
/** The part of the window that is left for the answer when the run sets no limit. */
const answerShare = 0.25
/** Tokens that a message costs beyond its text. */
const messageOverhead = 4

export interface TurnContext {
  request: ModelRequest
  /** Place of the turn's first step within the run. */
  firstSeq: number
  /** Estimated tokens of the request. */
  promptTokens: number
}

/** Reads the thread and builds the request for the run's next turn. `window` is the model's, in tokens. */
export async function buildContext(store: Store, run: RunRecord, window: number): Promise<TurnContext> {
  // The first owner of a run finds nothing of its own.
  const own = run.state.epoch <= 1 ? { messages: [], steps: [] } : await ownTurns(store, run)
  const system: ChatMessage[] =
    run.settings.instructions === '' ? [] : [{ role: 'system', content: run.settings.instructions }]
  const tools = functionTools(run.settings.tools)
  const fixed = size([...system, ...own.messages]) + estimateTokens(JSON.stringify(tools))
  const answer = run.settings.max_completion_tokens ?? Math.floor(window * answerShare)
  const history = await readHistory(store, run, window - fixed - Math.min(answer, window / 2))
  const messages = [...system, ...history.map(toChat), ...own.messages]
  return {
    request: { model: run.settings.model, messages, ...modelSettings(run) },
    firstSeq: own.steps.length,
    promptTokens: size(messages) + estimateTokens(JSON.stringify(tools)),
  }
}

/** The newest messages that the truncation strategy admits, in the thread's order (wire.md §5). */
async function readHistory(store: Store, run: RunRecord, budget: number): Promise<MessageRecord[]> {
  const { type, last_messages } = run.settings.truncation_strategy
  const most = type === 'last_messages' && last_messages !== null ? last_messages : Infinity
  const row = await getRunRow(store.pool, run.project_id, run.thread_id, run.id)
  let before = row?.seq ?? 0
  let left = budget
  const kept: MessageRecord[] = []
  while (kept.length < most) {
    const limit = Math.min(historyPage, most - kept.length)
    const page = await newestMessages(store.pool, run.project_id, run.thread_id, before, limit)
    for (const message of page) {
      left -= size([toChat(message)])
      // The newest message is always shown: without it there is nothing to answer.
      if (left < 0 && kept.length > 0) return kept.reverse()
      kept.push(message)
    }
    const last = page.at(-1)
    if (last === undefined || page.length < limit) break
    before = last.seq
  }
  return kept.reverse()
}

/** The finished turns of this run: each answer of the model, and the outputs of the tools that it called. */
async function ownTurns(
  store: Store,
  run: RunRecord,
): Promise<{ messages: ChatMessage[]; steps: StepRecord[] }> {
  const page = { limit: 1_000, order: 'asc' } as const
  const [steps, written] = await Promise.all([
    stepsOfRun(store.pool, run.project_id, run.thread_id, run.id),
    listMessages(store.pool, run.project_id, run.thread_id, run.id, page),
  ])
  const texts = new Map(written.rows.map((message) => [message.id, textOf(message.content)]))
  const messages: ChatMessage[] = []
  // Steps of turns that were given up stay as a record, but the model never finished saying them.
  const finished = steps.filter((step) => step.status === 'completed')
  for (let turn = 0; turn < run.state.turns; turn++) {
    messages.push(
      ...chatOfTurn(
        finished.filter((step) => step.turn === turn),
        texts,
      ),
    )
  }
  return { messages, steps }
}

function chatOfTurn(steps: StepRecord[], texts: Map<string, string>): ChatMessage[] {
  let content: string | null = null
  const answers: ChatMessage[] = []
  for (const { details } of steps) {
    if (details.type === 'message_creation') {
      content = texts.get(details.message_creation.message_id) ?? ''
      continue
    }
    const calls = details.tool_calls
    answers.push({
      role: 'assistant',
      content,
      tool_calls: calls.map(({ id, type, function: { name, arguments: args } }) => ({
        id,
        type,
        function: { name, arguments: args },
      })),
    })
    for (const call of calls) {
      answers.push({ role: 'tool', tool_call_id: call.id, content: call.function.output ?? '' })
    }
    content = null
  }
  return content === null ? answers : [...answers, { role: 'assistant', content }]
}

/** Only what the client set: backends refuse parameters that they do not know. */
function modelSettings(run: RunRecord): Omit<ModelRequest, 'model' | 'messages'> {
  const s = run.settings
  const tools = functionTools(s.tools)
  const settings: Omit<ModelRequest, 'model' | 'messages'> = {}
  if (tools.length > 0) {
    settings.tools = tools
    // A forced choice holds for the first turn only; afterwards it would loop for ever (wire.md §5).
    const choice = run.state.turns === 0 || s.tool_choice === 'none' ? s.tool_choice : null
    if (choice !== null && (typeof choice === 'string' || choice.type === 'function'))
      settings.tool_choice = choice
    if (s.parallel_tool_calls !== null) settings.parallel_tool_calls = s.parallel_tool_calls
  }
  if (s.temperature !== null) settings.temperature = s.temperature
  if (s.top_p !== null) settings.top_p = s.top_p
  if (s.reasoning_effort !== null) settings.reasoning_effort = s.reasoning_effort
  if (s.response_format !== 'auto') settings.response_format = s.response_format
  if (s.max_completion_tokens !== null) {
    settings.max_completion_tokens = s.max_completion_tokens - run.state.usage.completion_tokens
  }
  return settings
}

function functionTools(tools: Tool[]) {
  return tools.filter((tool) => tool.type === 'function')
}

function toChat(message: MessageRecord): ChatMessage {
  if (message.role === 'assistant') return { role: 'assistant', content: textOf(message.content) }
  if (message.content.every((part) => part.type === 'text')) {
    return { role: 'user', content: textOf(message.content) }
  }
  return { role: 'user', content: message.content.map(toPart) }
}

function toPart(part: MessageContent): ChatPart {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.text.value }
    case 'image_url':
      return { type: 'image_url', image_url: part.image_url }
    case 'image_file':
      return { type: 'text', text: `[image ${part.image_file.file_id}: its content is not at hand]` }
  }
}

function textOf(content: MessageContent[]): string {
  return content.map((part) => (part.type === 'text' ? part.text.value : '')).join('\n')
}

function size(messages: ChatMessage[]): number {
  let tokens = 0
  for (const message of messages) {
    const content = typeof message.content === 'string' ? message.content : JSON.stringify(message.content)
    tokens += messageOverhead + estimateTokens(content)
    if (message.role === 'assistant' && message.tool_calls) {
      tokens += estimateTokens(JSON.stringify(message.tool_calls))
    }
  }
  return tokens
}
