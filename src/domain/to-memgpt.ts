import type {
  OpenAIAssistant,
  OpenAIMessage,
  OpenAIRun,
  OpenAIRunStep,
  OpenAIThread,
  ToolCall,
} from '../contract/memgpt-objects.ts'
import type { AssistantRecord, MessageRecord, RunRecord, StepRecord, ThreadRecord } from './records.ts'
import { toRun, toStep } from './to-wire.ts'

// Records as the memgpt dialect shows them (memgpt-dialect.md §3-§5): the same facts as v2's, in other shapes.

/** `steps` are those of the run: its calls are shown as its tools. */
export function toMemgptRun(run: RunRecord, steps: readonly StepRecord[]): OpenAIRun {
  const v2 = toRun(run)
  const calls = steps.flatMap(callsOf)
  const action = v2.required_action
  return {
    id: v2.id,
    object: v2.object,
    created_at: v2.created_at,
    thread_id: v2.thread_id,
    assistant_id: v2.assistant_id,
    status: v2.status,
    required_action: action && {
      type: action.type,
      submit_tool_outputs: action.submit_tool_outputs.tool_calls,
    },
    last_error: v2.last_error,
    // Never null here: after the end it stays what it was last.
    expires_at: run.state.deadline,
    started_at: v2.started_at,
    cancelled_at: v2.cancelled_at,
    failed_at: v2.failed_at,
    completed_at: v2.completed_at,
    model: v2.model,
    instructions: v2.instructions,
    tools: calls.length > 0 ? calls : (action?.submit_tool_outputs.tool_calls ?? null),
    file_ids: [],
    metadata: v2.metadata,
    usage: v2.usage,
  }
}

export function toMemgptStep(step: StepRecord): OpenAIRunStep {
  const v2 = toStep(step)
  const { details } = step
  return {
    id: v2.id,
    object: v2.object,
    created_at: v2.created_at,
    assistant_id: v2.assistant_id,
    thread_id: v2.thread_id,
    run_id: v2.run_id,
    type: v2.type,
    status: v2.status,
    step_defaults:
      details.type === 'tool_calls'
        ? { type: details.type, tool_calls: callsOf(step) }
        : { type: details.type, message_id: details.message_creation.message_id },
    last_error: v2.last_error,
    expired_at: v2.expired_at,
    failed_at: v2.failed_at,
    completed_at: v2.completed_at,
    usage: v2.usage,
  }
}

function callsOf({ details }: StepRecord): ToolCall[] {
  if (details.type !== 'tool_calls') return []
  return details.tool_calls.map(({ id, type, function: { name, arguments: args } }) => ({
    id,
    type,
    function: { name, arguments: args },
  }))
}

export function toMemgptAssistant(a: AssistantRecord): OpenAIAssistant {
  return {
    id: a.id,
    name: a.name ?? '',
    object: 'assistant',
    description: a.description,
    created_at: a.created_at,
    model: a.model,
    instructions: a.instructions ?? '',
    tools: a.tools.map((tool) => (tool.type === 'function' ? tool.function.name : tool.type)),
    file_ids: a.tool_resources?.code_interpreter?.file_ids ?? [],
    metadata: a.metadata,
  }
}

export function toMemgptThread(t: ThreadRecord): OpenAIThread {
  return { id: t.id, object: 'thread', created_at: t.created_at, metadata: t.metadata }
}

export function toMemgptMessage(m: MessageRecord): OpenAIMessage {
  return {
    id: m.id,
    object: 'thread.message',
    created_at: m.created_at,
    thread_id: m.thread_id,
    role: m.role,
    content: m.content.map((part) => {
      switch (part.type) {
        case 'text':
          return { object: 'text', text: part.text.value }
        case 'image_file':
          return { type: 'image_file', file_id: part.image_file.file_id }
        case 'image_url':
          // The dialect knows no images by URL; the address is not lost.
          return { object: 'text', text: part.image_url.url }
      }
    }),
    // Required there; a message that no assistant wrote has none.
    assistant_id: m.assistant_id ?? '',
    run_id: m.run_id,
    file_ids: m.attachments.map(({ file_id }) => file_id),
    metadata: m.metadata,
  }
}
