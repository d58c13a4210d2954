import { isTerminal } from '../contract/events.ts'
import type { FileObject } from '../contract/file-object.ts'
import type {
  AssistantObject,
  MessageObject,
  RunObject,
  RunStepObject,
  ThreadObject,
} from '../contract/objects.ts'
import type { NewToolResources, ToolResources } from '../contract/tools.ts'
import type {
  AssistantRecord,
  FileRecord,
  MessageRecord,
  RunRecord,
  StepRecord,
  ThreadRecord,
} from './records.ts'
import { isWaiting } from './run.ts'

// Records as the v2 dialect shows them (wire.md §4-§6).

export function toAssistant(a: AssistantRecord): AssistantObject {
  return {
    id: a.id,
    object: 'assistant',
    created_at: a.created_at,
    name: a.name,
    description: a.description,
    model: a.model,
    instructions: a.instructions,
    tools: a.tools,
    tool_resources: toResources(a.tool_resources),
    metadata: a.metadata,
    temperature: a.temperature ?? 1,
    top_p: a.top_p ?? 1,
    response_format: a.response_format,
    reasoning_effort: a.reasoning_effort,
  }
}

/** Lists that were left out are shown empty. A store that was asked for and is not there yet is not shown. */
function toResources(resources: NewToolResources | null): ToolResources {
  const { code_interpreter: code, file_search: search } = resources ?? {}
  return {
    ...(code && { code_interpreter: { file_ids: code.file_ids ?? [] } }),
    ...(search && { file_search: { vector_store_ids: search.vector_store_ids ?? [] } }),
  }
}

export function toThread(t: ThreadRecord): ThreadObject {
  return {
    id: t.id,
    object: 'thread',
    created_at: t.created_at,
    tool_resources: toResources(t.tool_resources),
    metadata: t.metadata,
  }
}

export function toMessage(m: MessageRecord): MessageObject {
  return {
    id: m.id,
    object: 'thread.message',
    created_at: m.created_at,
    thread_id: m.thread_id,
    status: m.status,
    incomplete_details: m.incomplete_reason ? { reason: m.incomplete_reason } : null,
    completed_at: m.status === 'completed' ? m.ended_at : null,
    incomplete_at: m.status === 'incomplete' ? m.ended_at : null,
    role: m.role,
    content: m.content,
    assistant_id: m.assistant_id,
    run_id: m.run_id,
    attachments: m.attachments,
    metadata: m.metadata,
  }
}

export function toRun(run: RunRecord): RunObject {
  const { state: s, settings } = run
  const ended = 'ended_at' in s ? s.ended_at : null
  return {
    id: run.id,
    object: 'thread.run',
    created_at: run.created_at,
    thread_id: run.thread_id,
    assistant_id: run.assistant_id,
    status: s.status,
    required_action:
      s.status === 'requires_action'
        ? { type: 'submit_tool_outputs', submit_tool_outputs: { tool_calls: [...s.calls] } }
        : null,
    last_error: s.status === 'failed' ? s.error : null,
    expires_at: isTerminal(s.status) || isWaiting(s) ? null : s.deadline,
    started_at: s.started_at,
    cancelled_at: s.status === 'cancelled' ? ended : null,
    failed_at: s.status === 'failed' ? ended : null,
    completed_at: s.status === 'completed' || s.status === 'incomplete' ? ended : null,
    incomplete_details: s.status === 'incomplete' ? { reason: s.reason } : null,
    model: settings.model,
    instructions: settings.instructions,
    tools: settings.tools,
    metadata: run.metadata,
    usage: isTerminal(s.status) ? s.usage : null,
    temperature: settings.temperature ?? 1,
    top_p: settings.top_p ?? 1,
    max_prompt_tokens: settings.max_prompt_tokens,
    max_completion_tokens: settings.max_completion_tokens,
    truncation_strategy: settings.truncation_strategy,
    tool_choice: settings.tool_choice ?? 'auto',
    parallel_tool_calls: settings.parallel_tool_calls ?? true,
    response_format: settings.response_format,
  }
}

export function toStep(step: StepRecord): RunStepObject {
  const at = (status: StepRecord['status']) => (step.status === status ? step.ended_at : null)
  return {
    id: step.id,
    object: 'thread.run.step',
    created_at: step.created_at,
    assistant_id: step.assistant_id,
    thread_id: step.thread_id,
    run_id: step.run_id,
    type: step.details.type,
    status: step.status,
    step_details: step.details,
    last_error: step.error,
    expired_at: at('expired'),
    cancelled_at: at('cancelled'),
    failed_at: at('failed'),
    completed_at: at('completed'),
    metadata: {},
    usage: step.status === 'in_progress' ? null : step.usage,
    expires_at: step.expires_at,
  }
}

/** A file is shown only when it is whole, and nothing more is done to it. */
export function toFile(file: FileRecord): FileObject {
  return {
    id: file.id,
    object: 'file',
    bytes: file.bytes,
    created_at: file.created_at,
    ...(file.expires_at === null ? {} : { expires_at: file.expires_at }),
    filename: file.filename,
    purpose: file.purpose,
    status: 'processed',
  }
}
