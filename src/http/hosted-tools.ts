import type { FastifyReply } from 'fastify'
import type pg from 'pg'
import { ApiError } from '../contract/errors.ts'
import type { CreateMessage } from '../contract/requests.ts'
import type { HostedToolName, NewToolResources } from '../contract/tools.ts'
import type { RunRecord } from '../domain/records.ts'
import { attachedTools } from '../store/messages.ts'
import type { HttpContext } from './context.ts'

// The tools that the hosted service ran by itself, and that this server does not run: `file_search` and
// `code_interpreter`. Assistants may list them, and a run goes on without them unless it cannot do without.

/** The tools of a run that this server does not run. */
export function hostedTools(run: RunRecord): HostedToolName[] {
  const names = run.settings.tools.flatMap(({ type }) => (type === 'function' ? [] : [type]))
  return [...new Set(names)]
}

/**
 * Throws ApiError for a run that cannot do without a tool that this server does not run: tool_choice demands it,
 * or a message of its thread has a file attached for it. `added` are the messages that come with the run.
 */
export async function refuseDemandedTools(
  pool: pg.Pool,
  run: RunRecord,
  added: CreateMessage[],
): Promise<void> {
  const { tool_choice: choice, tools } = run.settings
  if (typeof choice === 'object' && choice !== null && choice.type !== 'function') {
    throw notAvailable(choice.type, 'that tool_choice demands')
  }
  const listed = hostedTools(run)
  if (listed.length === 0) return
  if (choice === 'required' && tools.length > 0 && tools.every(({ type }) => type !== 'function')) {
    throw notAvailable(listed.join("' and '"), "and tool_choice 'required' leaves no other")
  }
  const attached = added.flatMap((message) => message.attachments ?? []).flatMap(({ tools }) => tools)
  const here = attached.find(({ type }) => listed.includes(type))
  if (here) throw notAvailable(here.type, 'for which a message has a file attached')
  const before = await attachedTools(pool, run.project_id, run.thread_id)
  const there = before.find((type) => listed.includes(type))
  if (there) throw notAvailable(there, 'for which a message of the thread has a file attached')
}

const header = 'x-tools-not-run'

/** What the answer to a run tells of tools that this server does not run. */
export function notRunHeaders(run: RunRecord): Record<string, string> {
  const tools = hostedTools(run)
  return tools.length > 0 ? { [header]: tools.join(', ') } : {}
}

/** A run goes on without the tools that this server does not run; whoever made it can know. */
export function tellNotRun({ log }: HttpContext, reply: FastifyReply, run: RunRecord): void {
  const tools = hostedTools(run)
  if (tools.length === 0) return
  reply.headers(notRunHeaders(run))
  log.info('a run goes on without tools that this server does not run', {
    request: reply.request.id,
    run: run.id,
    thread: run.thread_id,
    tools: tools.join(', '),
  })
}

/** What the answer tells of a vector store that was asked for. */
export function noStoreHeaders(resources: NewToolResources | null | undefined): Record<string, string> {
  return resources?.file_search?.vector_stores?.length ? { [header]: 'file_search' } : {}
}

/**
 * What lists files to be searched is created without its vector store, so that apps which always ask for one live; it is
 * kept as it was asked for, and shown without.
 */
export function tellNoStore(
  { log }: HttpContext,
  reply: FastifyReply,
  resources: NewToolResources | null | undefined,
): void {
  const headers = noStoreHeaders(resources)
  if (!(header in headers)) return
  reply.headers(headers)
  log.info('a vector store was asked for, which this server does not make', { request: reply.request.id })
}

function notAvailable(tool: string, why: string): ApiError {
  return new ApiError('tool_not_available', `This server does not run the tool '${tool}' ${why}.`)
}
