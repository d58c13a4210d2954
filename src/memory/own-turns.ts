import type { StepToolCall } from '../contract/objects.ts'
import type { RunRecord, StepRecord } from '../domain/records.ts'
import type { ChatMessage } from '../models/model.ts'
import { listMessages } from '../store/messages.ts'
import { stepsOfRun } from '../store/steps.ts'
import type { Store } from '../store/store.ts'
import { textOf } from './chat-messages.ts'

export interface OwnTurns {
  messages: ChatMessage[]
  steps: StepRecord[]
}

/** The finished turns of this run, always whole: each answer of the model, and the outputs of the tools that it called. */
export async function ownTurns(store: Store, run: RunRecord): Promise<OwnTurns> {
  // The first owner of a run finds nothing of its own.
  if (run.state.epoch <= 1) return { messages: [], steps: [] }
  const reading = stepsOfRun(store.pool, run.project_id, run.thread_id, run.id)
  // What a turn said that was given up is removed.
  if (run.state.turns === 0) return { messages: [], steps: await reading }
  // A turn writes one message at most.
  const page = { limit: run.state.turns + 1, order: 'asc' } as const
  const [steps, written] = await Promise.all([
    reading,
    listMessages(store, run.project_id, run.thread_id, run.id, page),
  ])
  const texts = new Map(written.rows.map((message) => [message.id, textOf(message.content)]))
  // Steps of turns that were given up stay as a record, but the model never finished saying them.
  const finished = Map.groupBy(
    steps.filter((step) => step.status === 'completed'),
    (step) => step.turn,
  )
  const messages: ChatMessage[] = []
  for (let turn = 0; turn < run.state.turns; turn++)
    messages.push(...chatOfTurn(finished.get(turn) ?? [], texts))
  return { messages, steps }
}

/**
 * A turn is one message of the model, its text and its calls together, whichever it wrote first; then come the
 * outputs, right behind the calls, where the protocol wants them.
 */
function chatOfTurn(steps: StepRecord[], texts: Map<string, string>): ChatMessage[] {
  let text = ''
  const calls: StepToolCall[] = []
  for (const { details } of steps) {
    if (details.type === 'message_creation') text += texts.get(details.message_creation.message_id) ?? ''
    else calls.push(...details.tool_calls)
  }
  if (calls.length === 0) return text === '' ? [] : [{ role: 'assistant', content: text }]
  const tool_calls = calls.map(({ id, type, function: { name, arguments: args } }) => ({
    id,
    type,
    function: { name, arguments: args },
  }))
  const outputs = calls.map((call): ChatMessage => ({
    role: 'tool',
    tool_call_id: call.id,
    content: call.function.output ?? '',
  }))
  return [{ role: 'assistant', content: text === '' ? null : text, tool_calls }, ...outputs]
}
