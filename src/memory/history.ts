import type { MessageRecord, RunRecord } from '../domain/records.ts'
import { messageTokens } from '../models/prompt-size.ts'
import { newestMessages } from '../store/messages.ts'
import { getRunRow } from '../store/runs.ts'
import type { Store } from '../store/store.ts'
import { notLoaded, toChat } from './chat-messages.ts'

/** A page of history; reading stops at the first page that overfills the room. */
const historyPage = 100

export interface History {
  messages: MessageRecord[]
  /** Of them all, by estimate. */
  tokens: number
}

/**
 * The thread's messages from before the run (its additional messages among them) that the model is shown, in the
 * thread's order: the newest that fit into `room` tokens, and no more than last_messages says. The newest of all is
 * always shown, fit or not: without it there is nothing to answer.
 */
export async function readHistory(store: Store, run: RunRecord, room: number): Promise<History> {
  const { type, last_messages } = run.settings.truncation_strategy
  const most = type === 'last_messages' && last_messages !== null ? last_messages : Infinity
  let before = await runPlace(store, run)
  let tokens = 0
  const kept: MessageRecord[] = []
  while (kept.length < most) {
    const limit = Math.min(historyPage, most - kept.length)
    const { messages: page, more: further } = await newestMessages(
      store,
      run.project_id,
      run.thread_id,
      before,
      limit,
    )
    for (const message of page) {
      const more = tokensOf(message)
      if (tokens + more > room && kept.length > 0) return { messages: kept.reverse(), tokens }
      kept.push(message)
      tokens += more
    }
    const last = page.at(-1)
    if (last === undefined || !further) break
    before = last.seq
  }
  return { messages: kept.reverse(), tokens }
}

/** The run's number in its thread. It holds the thread: only what its own turns have said can be behind it. */
async function runPlace(store: Store, run: RunRecord): Promise<number> {
  if (run.state.turns === 0) return Number.MAX_SAFE_INTEGER
  const row = await getRunRow(store.pool, run.project_id, run.thread_id, run.id)
  return row?.seq ?? 0
}

function tokensOf(message: MessageRecord): number {
  const shown = toChat(message, notLoaded)
  return shown ? messageTokens(shown) : 0
}
