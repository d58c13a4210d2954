import { spentBudget, tokensLeft, type Budget, type TokensLeft } from '../domain/budget.ts'
import type { RunRecord } from '../domain/records.ts'
import type { ChatMessage, ModelRequest } from '../models/model.ts'
import { promptTokens } from '../models/prompt-size.ts'
import type { Store } from '../store/store.ts'
import { toChat } from './chat-messages.ts'
import { readHistory } from './history.ts'
import { droppingImages, loadImages } from './images.ts'
import { ownTurns } from './own-turns.ts'

// What the model is shown: the run's instructions, as much of the thread as fits, and what the run itself has
// done so far (wire.md §5, "truncation_strategy").
//
// Always shown, whole: the instructions, the tools, the thread's newest message and the run's own turns, so that no
// tool call is parted from its output. The rest of the thread fills what is left of the model's window and of
// max_prompt_tokens, the newest first. If what is always shown overfills the window, it is sent all the same: the
// window is what this server believes, the backend knows, and its refusal ends the run with invalid_prompt. If it
// overfills max_prompt_tokens, the turn does not take place.

/** The part of the window that is left for the answer when the client sets no limit. */
const answerShare = 0.25

export type TurnContext = {
  /** Place of the turn's first step within the run. */
  firstSeq: number
} & (
  | {
      kind: 'ready'
      request: ModelRequest
      /** Of the request, by estimate. */
      promptTokens: number
      /** To be called once the request was sent, or is not to be: its images are dropped. */
      sent: () => void
    }
  /** The turn may not begin. */
  | { kind: 'over_budget'; budget: Budget }
)

/**
 * Reads the thread and builds the request for the run's next turn. `window` is the model's, in tokens. Waits for room for
 * images, unless the signal says that the request will not be sent.
 */
export async function buildContext(
  store: Store,
  run: RunRecord,
  window: number,
  signal: AbortSignal,
): Promise<TurnContext> {
  const left = tokensLeft(run)
  const own = await ownTurns(store, run)
  const firstSeq = own.steps.length
  const system: ChatMessage[] =
    run.settings.instructions === '' ? [] : [{ role: 'system', content: run.settings.instructions }]
  const settings = modelSettings(run, left)
  const fixed = promptTokens({ ...settings, messages: [...system, ...own.messages] })
  const spent = spentBudget(left, fixed)
  if (spent !== null) return { kind: 'over_budget', firstSeq, budget: spent }

  const room = Math.min(window - answerRoom(run, left, window), left.prompt) - fixed
  const history = await readHistory(store, run, room)
  const tokens = fixed + history.tokens
  const budget = spentBudget(left, tokens)
  if (budget !== null) return { kind: 'over_budget', firstSeq, budget }

  const { shown: images, free } = await loadImages(store, run.project_id, history.messages, signal)
  const shown = history.messages
    .map((message) => toChat(message, images))
    .filter((message) => message !== null)
  const request = { ...settings, messages: [...system, ...shown, ...own.messages] }
  // Made elsewhere, since a function made here would hold all that there is here.
  const sent = droppingImages(request.messages, free)
  return { kind: 'ready', firstSeq, request, promptTokens: tokens, sent }
}

/**
 * Tokens of the window that the prompt must leave. With last_messages the client has said how much it wants shown,
 * and means it: only a prompt that the window does not take at all loses some of these messages, the oldest first.
 */
function answerRoom({ settings }: RunRecord, left: TokensLeft, window: number): number {
  const { type } = settings.truncation_strategy
  const wanted = type === 'last_messages' ? 0 : Math.floor(window * answerShare)
  return Math.min(Number.isFinite(left.completion) ? left.completion : wanted, window / 2)
}

/** Only what the client set: backends refuse parameters that they do not know. */
function modelSettings({ settings: s, state }: RunRecord, left: TokensLeft): Omit<ModelRequest, 'messages'> {
  const settings: Omit<ModelRequest, 'messages'> = { model: s.model }
  // What this server does not run, the model must not call.
  const tools = s.tools.filter((tool) => tool.type === 'function')
  if (tools.length > 0) {
    settings.tools = tools
    // A forced choice holds for the first turn only; afterwards it would loop for ever (wire.md §5).
    const choice = state.turns === 0 || s.tool_choice === 'none' ? s.tool_choice : null
    if (choice !== null && (typeof choice === 'string' || choice.type === 'function'))
      settings.tool_choice = choice
    if (s.parallel_tool_calls !== null) settings.parallel_tool_calls = s.parallel_tool_calls
  }
  if (s.temperature !== null) settings.temperature = s.temperature
  if (s.top_p !== null) settings.top_p = s.top_p
  if (s.reasoning_effort !== null) settings.reasoning_effort = s.reasoning_effort
  if (s.response_format !== 'auto') settings.response_format = s.response_format
  if (s.max_completion_tokens !== null) settings.max_completion_tokens = left.completion
  return settings
}
