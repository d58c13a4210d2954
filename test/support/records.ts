import assert from 'node:assert/strict'
import { newId } from '../../src/contract/ids.ts'
import type { MessageRecord, RunRecord, StepRecord, ThreadRecord } from '../../src/domain/records.ts'
import { newRunState, transition, type RunEvent } from '../../src/domain/run.ts'
import { noRows, type Advance, type ThreadKey } from '../../src/store/thread-write.ts'

// Records and writes for tests of the store that go without engine and HTTP.

export const project_id = 'default'
/** Of the node that owns new runs. */
export const lease = { node: 'node-a', epoch: 1 }
export const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
/** Any time will do: the store compares it with nothing. */
export const now = 1_800_000_000

export function newThread(): ThreadRecord {
  return {
    id: newId('thread'),
    project_id,
    created_at: now,
    tool_resources: null,
    metadata: {},
    policy: null,
  }
}

export function newMessage(thread: string, value = 'x', more: Partial<MessageRecord> = {}): MessageRecord {
  return {
    id: newId('message'),
    project_id,
    thread_id: thread,
    role: 'user',
    status: 'completed',
    content: [{ type: 'text', text: { value, annotations: [] } }],
    assistant_id: null,
    run_id: null,
    attachments: [],
    metadata: {},
    created_at: now,
    ended_at: now,
    incomplete_reason: null,
    ...more,
  }
}

export function newRun(thread: string): RunRecord {
  return {
    id: newId('run'),
    project_id,
    thread_id: thread,
    assistant_id: newId('assistant'),
    created_at: now,
    settings: {
      model: 'm',
      instructions: '',
      tools: [],
      temperature: null,
      top_p: null,
      tool_choice: null,
      parallel_tool_calls: null,
      reasoning_effort: null,
      response_format: 'auto',
      max_prompt_tokens: null,
      max_completion_tokens: null,
      truncation_strategy: { type: 'auto', last_messages: null },
    },
    metadata: {},
    state: newRunState(lease.node, now + 600),
  }
}

export function newStep(run: RunRecord, message: string): StepRecord {
  return {
    id: newId('step'),
    project_id,
    thread_id: run.thread_id,
    run_id: run.id,
    assistant_id: run.assistant_id,
    seq: 0,
    turn: 0,
    status: 'in_progress',
    details: { type: 'message_creation', message_creation: { message_id: message } },
    usage: null,
    error: null,
    created_at: now,
    ended_at: null,
    expires_at: now + 600,
  }
}

export const keyOf = (thread: string, project = project_id): ThreadKey => ({
  id: thread,
  project_id: project,
})

/** The write of a transition that the run allows. */
export function advance(run: RunRecord, event: RunEvent, rows = noRows): Advance {
  const state = transition(run.state, event)
  if (typeof state === 'string') assert.fail(`the run's table says ${state}`)
  const release = 'ended_at' in state
  return {
    kind: 'advance',
    thread: keyOf(run.thread_id),
    run: { ...run, state },
    version: run.state.version,
    stamp: Math.floor(Math.random() * 2 ** 50),
    release,
    rows,
  }
}
