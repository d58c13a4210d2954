import { ApiError } from '../contract/errors.ts'
import { newId } from '../contract/ids.ts'
import type { MessageContent, Tool, ToolChoice } from '../contract/objects.ts'
import type { CreateMessage, CreateThread, RunFields } from '../contract/requests.ts'
import type {
  AssistantRecord,
  MessageRecord,
  RunRecord,
  RunSettings,
  ThreadRecord,
} from '../domain/records.ts'
import { newRunState } from '../domain/run.ts'

// Request bodies as the records that they create.

export function newThread(project: string, now: number, body: CreateThread): ThreadRecord {
  return {
    id: newId('thread'),
    project_id: project,
    created_at: now,
    tool_resources: body.tool_resources ?? null,
    metadata: body.metadata ?? {},
  }
}

/** A client's message: it is complete from the start (wire.md §4). */
export function newMessage(project: string, thread: string, now: number, body: CreateMessage): MessageRecord {
  return {
    id: newId('message'),
    project_id: project,
    thread_id: thread,
    role: body.role,
    status: 'completed',
    content: contentOf(body.content),
    assistant_id: null,
    run_id: null,
    attachments: body.attachments ?? [],
    metadata: body.metadata ?? {},
    created_at: now,
    ended_at: now,
    incomplete_reason: null,
  }
}

function contentOf(content: CreateMessage['content']): MessageContent[] {
  const text = (value: string): MessageContent => ({ type: 'text', text: { value, annotations: [] } })
  if (typeof content === 'string') return [text(content)]
  return content.map((part) => (part.type === 'text' ? text(part.text) : part))
}

/** A queued run, owned by `owner` from the start if that node has room for it. */
export function newRun(options: {
  assistant: AssistantRecord
  thread: string
  now: number
  ttl: number
  owner: string | null
  body: RunFields & { additional_instructions?: string | null }
}): RunRecord {
  const { assistant, thread, now, ttl, owner, body } = options
  return {
    id: newId('run'),
    project_id: assistant.project_id,
    thread_id: thread,
    assistant_id: assistant.id,
    created_at: now,
    settings: resolveSettings(assistant, body),
    metadata: body.metadata ?? {},
    state: newRunState(owner, now + ttl),
  }
}

/** The run's own settings over the assistant's (wire.md §5); null inherits. Throws for an impossible tool choice. */
function resolveSettings(
  assistant: AssistantRecord,
  body: RunFields & { additional_instructions?: string | null },
): RunSettings {
  const tools = (body.tools ?? assistant.tools) as Tool[]
  const instructions = body.instructions ?? assistant.instructions ?? ''
  const truncation = body.truncation_strategy
  return {
    model: body.model ?? assistant.model,
    instructions: [instructions, body.additional_instructions ?? '']
      .filter((text) => text !== '')
      .join('\n\n'),
    tools,
    temperature: body.temperature ?? assistant.temperature,
    top_p: body.top_p ?? assistant.top_p,
    tool_choice: checkedToolChoice(body.tool_choice ?? null, tools),
    parallel_tool_calls: body.parallel_tool_calls ?? null,
    reasoning_effort: body.reasoning_effort ?? assistant.reasoning_effort,
    response_format: body.response_format ?? assistant.response_format,
    max_prompt_tokens: body.max_prompt_tokens ?? null,
    max_completion_tokens: body.max_completion_tokens ?? null,
    truncation_strategy: {
      type: truncation?.type ?? 'auto',
      last_messages: truncation?.last_messages ?? null,
    },
  }
}

function checkedToolChoice(choice: ToolChoice | null, tools: Tool[]): ToolChoice | null {
  if (choice === null || typeof choice === 'string') return choice
  if (choice.type !== 'function') {
    // This server does not run these tools, and a run that must call one cannot do without.
    throw new ApiError(
      'tool_not_available',
      `This server does not run the tool '${choice.type}' that tool_choice demands.`,
    )
  }
  const { name } = choice.function
  const known = tools.some((tool) => tool.type === 'function' && tool.function.name === name)
  if (!known)
    throw new ApiError(
      'tool_choice_unknown',
      `tool_choice names the function '${name}', which is not among the run's tools.`,
    )
  return choice
}
