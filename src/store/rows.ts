import type { RunToolCall } from '../contract/objects.ts'
import type {
  AssistantRecord,
  MessageRecord,
  RunRecord,
  StepRecord,
  ThreadRecord,
} from '../domain/records.ts'
import type { RunFailure, RunState } from '../domain/run.ts'
import type { Usage } from '../domain/usage.ts'

// Rows as pg returns them, and the records they stand for.

export type AssistantRow = AssistantRecord & { seq: number }
export type ThreadRow = ThreadRecord & { seq: number }
export type MessageRow = MessageRecord & { seq: number }

export interface RunRow extends Omit<RunRecord, 'state'>, Usage {
  seq: number
  status: RunState['status'] | 'waiting'
  version: number
  owner_node: string | null
  lease_epoch: number
  deadline: number
  started_at: number | null
  ended_at: number | null
  calls: [RunToolCall, ...RunToolCall[]] | null
  error: RunFailure | null
  reason: 'max_prompt_tokens' | 'max_completion_tokens' | null
  turns: number
  attempts: number
}

export interface StepRow extends Omit<StepRecord, 'usage'> {
  prompt_tokens: number | null
  completion_tokens: number | null
  total_tokens: number | null
}

/** Drops the ordering column, which only the store needs. */
export function withoutSeq<T extends { seq: number }>({ seq, ...record }: T): Omit<T, 'seq'> {
  return record
}

export function runOf(row: RunRow): RunRecord {
  const { id, project_id, thread_id, assistant_id, created_at, settings, metadata } = row
  return { id, project_id, thread_id, assistant_id, created_at, settings, metadata, state: stateOf(row) }
}

function stateOf(row: RunRow): RunState {
  const common = {
    version: row.version,
    epoch: row.lease_epoch,
    deadline: row.deadline,
    started_at: row.started_at,
    usage: {
      prompt_tokens: row.prompt_tokens,
      completion_tokens: row.completion_tokens,
      total_tokens: row.total_tokens,
    },
    turns: row.turns,
    attempts: row.attempts,
  }
  const { status } = row
  switch (status) {
    case 'waiting':
      return { ...common, status: 'queued', owner: null, waits: true }
    case 'queued':
      return { ...common, status, owner: row.owner_node, waits: false }
    case 'in_progress':
    case 'cancelling':
      return { ...common, status, owner: held(row, 'owner_node') }
    case 'requires_action':
      return { ...common, status, calls: held(row, 'calls') }
    case 'failed':
      return { ...common, status, error: held(row, 'error'), ended_at: held(row, 'ended_at') }
    case 'incomplete':
      return { ...common, status, reason: held(row, 'reason'), ended_at: held(row, 'ended_at') }
    case 'completed':
    case 'cancelled':
    case 'expired':
      return { ...common, status, ended_at: held(row, 'ended_at') }
  }
}

/** A column that this status always has; its absence means that the row was not written by us. */
function held<K extends keyof RunRow>(row: RunRow, key: K): NonNullable<RunRow[K]> {
  const value = row[key]
  if (value === null || value === undefined) throw new Error(`run ${row.id} is ${row.status} without ${key}`)
  return value
}

export function stepOf({ prompt_tokens, completion_tokens, total_tokens, ...row }: StepRow): StepRecord {
  const usage =
    prompt_tokens === null || completion_tokens === null || total_tokens === null
      ? null
      : { prompt_tokens, completion_tokens, total_tokens }
  return { ...row, usage }
}
