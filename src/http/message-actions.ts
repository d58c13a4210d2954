import { ApiError, notFound } from '../contract/errors.ts'
import type { CreateMessage } from '../contract/requests.ts'
import type { MessageRecord } from '../domain/records.ts'
import type { HttpContext } from './context.ts'
import { refuseMissingFiles } from './named-files.ts'
import { newMessage } from './new-records.ts'

/** Adds a client's message to a thread. Throws ApiError if it names a missing file, or the thread is gone or held. */
export async function addMessage(
  { store }: HttpContext,
  project_id: string,
  thread: string,
  body: CreateMessage,
): Promise<MessageRecord> {
  await refuseMissingFiles(store.pool, project_id, { messages: [body] })
  const message = newMessage(project_id, thread, store.clock.now(), body)
  const key = { id: thread, project_id }
  const written = await store.write({ kind: 'append', thread: key, messages: [message] })
  if (written.outcome === 'gone') throw notFound('thread', thread)
  if (written.outcome === 'locked') {
    const text = `Can't add messages to ${thread} while a run ${written.runId} is active.`
    throw new ApiError('active_run_blocks_message', text)
  }
  return message
}
