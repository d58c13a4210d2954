import { ApiError } from '../contract/errors.ts'
import { newId } from '../contract/ids.ts'
import type { MessageContent } from '../contract/objects.ts'
import type { ThreadPolicy } from '../contract/thread-policy.ts'
import type { Tool, ToolChoice, TruncationStrategy } from '../contract/tools.ts'
import type {
  CreateAssistant,
  CreateMessage,
  CreateThread,
  ModifyAssistant,
  RunFields,
} from '../contract/requests.ts'
import { mergeMetadata } from '../domain/metadata.ts'
import type {
  AssistantRecord,
  MessageRecord,
  RunRecord,
  RunSettings,
  ThreadRecord,
} from '../domain/records.ts'
import { newRunState } from '../domain/run.ts'

// Request bodies as the records that they create.

export function newThread(
  project: string,
  now: number,
  body: CreateThread,
  policy: ThreadPolicy | null,
): ThreadRecord {
  return {
    id: newId('thread'),
    project_id: project,
    created_at: now,
    tool_resources: body.tool_resources ?? null,
    metadata: body.metadata ?? {},
    policy,
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

/** A queued run that nobody owns. */
export function newRun(options: {
  assistant: AssistantRecord
  thread: string
  now: number
  ttl: number
  body: RunFields & { additional_instructions?: string | null }
}): RunRecord {
  const { assistant, thread, now, ttl, body } = options
  return {
    id: newId('run'),
    project_id: assistant.project_id,
    thread_id: thread,
    assistant_id: assistant.id,
    created_at: now,
    settings: resolveSettings(assistant, body),
    metadata: body.metadata ?? {},
    state: newRunState(null, now + ttl),
  }
}

/** The run's own settings over the assistant's (wire.md §5); null inherits. Throws for an impossible tool choice. */
function resolveSettings(
  assistant: AssistantRecord,
  body: RunFields & { additional_instructions?: string | null },
): RunSettings {
  // An empty list or text is a value of the run's own; null is none.
  const tools = body.tools ?? assistant.tools
  const instructions = body.instructions ?? assistant.instructions ?? ''
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
    truncation_strategy: checkedTruncation(body.truncation_strategy),
  }
}

/** Throws for `last_messages` without a number, which would cut nothing off. */
function checkedTruncation(asked: RunFields['truncation_strategy']): TruncationStrategy {
  const { type = 'auto', last_messages = null } = asked ?? {}
  if (type === 'auto' || last_messages !== null) return { type, last_messages }
  const param = 'truncation_strategy.last_messages'
  throw new ApiError('missing_parameter', `Missing required parameter: '${param}'.`, param)
}

function checkedToolChoice(choice: ToolChoice | null, tools: Tool[]): ToolChoice | null {
  if (choice === 'required' && tools.length === 0) {
    throw new ApiError('tool_choice_unknown', "tool_choice is 'required', and the run has no tools.")
  }
  // Whether a tool of another type can be had is hosted-tools.ts's to say.
  if (choice === null || typeof choice === 'string' || choice.type !== 'function') return choice
  const { name } = choice.function
  const known = tools.some((tool) => tool.type === 'function' && tool.function.name === name)
  if (!known)
    throw new ApiError(
      'tool_choice_unknown',
      `tool_choice names the function '${name}', which is not among the run's tools.`,
    )
  return choice
}

/** An assistant as a client describes it. */
export function newAssistant(project: string, now: number, body: CreateAssistant): AssistantRecord {
  return {
    id: newId('assistant'),
    project_id: project,
    created_at: now,
    name: body.name ?? null,
    description: body.description ?? null,
    model: body.model,
    instructions: body.instructions ?? null,
    tools: body.tools ?? [],
    tool_resources: body.tool_resources ?? null,
    metadata: body.metadata ?? {},
    temperature: body.temperature ?? null,
    top_p: body.top_p ?? null,
    response_format: body.response_format ?? 'auto',
    reasoning_effort: body.reasoning_effort ?? null,
  }
}

/** Omitted keys stay as they are, null clears, tools are replaced whole (wire.md §4). */
export function changedAssistant(old: AssistantRecord, body: ModifyAssistant): AssistantRecord {
  const { model, tools, metadata, response_format, ...nullable } = body
  const given = Object.fromEntries(Object.entries(nullable).filter(([, value]) => value !== undefined))
  return {
    ...old,
    ...(given as Partial<AssistantRecord>),
    ...(model === undefined ? {} : { model }),
    ...(tools === undefined ? {} : { tools }),
    ...(response_format === undefined ? {} : { response_format: response_format ?? 'auto' }),
    metadata: mergeMetadata(old.metadata, metadata),
  }
}
