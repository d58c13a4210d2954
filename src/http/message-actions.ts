import { ApiError, notFound } from '../contract/errors.ts'
import type { CreateMessage } from '../contract/requests.ts'
import type { ThreadPolicy } from '../contract/thread-policy.ts'
import type { MessageRecord } from '../domain/records.ts'
import { enterThread } from '../store/enter-thread.ts'
import type { Keeping } from '../store/idempotency.ts'
import type { HttpContext } from './context.ts'
import { refuseMissingFiles } from './named-files.ts'
import { newMessage } from './new-records.ts'
import type { Principal } from './principal.ts'
import { mostMessages, threadTooLong } from './size-limits.ts'
import { queueFull } from './thread-policy.ts'

/**
 * Adds a client's message to a thread, or has it wait, as the policy says. Throws ApiError if it names a missing file, or
 * the thread is gone, or held by a run.
 */
export async function addMessage(
  { store, threadPolicy }: HttpContext,
  principal: Principal,
  thread: string,
  body: CreateMessage,
  policy: ThreadPolicy | null,
  keeping: Keeping<MessageRecord>,
): Promise<MessageRecord> {
  const { project: project_id } = principal
  await refuseMissingFiles(store.pool, project_id, { messages: [body] })
  const message = newMessage(project_id, thread, store.clock.now(), body)
  const key = { id: thread, project_id }
  const written = await enterThread(
    store,
    { kind: 'append', thread: key, messages: [message], mostMessages: mostMessages(principal) },
    (own) => policy ?? own ?? threadPolicy,
    () => keeping(message),
  )
  if (written.outcome === 'gone') throw notFound('thread', thread)
  if (written.outcome === 'locked') {
    const text = `Can't add messages to ${thread} while a run ${written.runId} is active.`
    throw new ApiError('active_run_blocks_message', text)
  }
  if (written.outcome === 'full') throw queueFull(thread)
  if (written.outcome === 'long') throw threadTooLong(principal, thread, 'thread_id')
  return message
}
