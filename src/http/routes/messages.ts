import type { FastifyInstance } from 'fastify'
import { ApiError, notFound } from '../../contract/errors.ts'
import { toList } from '../../contract/paging.ts'
import { CreateMessage, ModifyMetadata } from '../../contract/requests.ts'
import { mergeMetadata } from '../../domain/metadata.ts'
import { toMessage } from '../../domain/to-wire.ts'
import { getMessage, listMessages, updateMessageMetadata } from '../../store/messages.ts'
import { getThread } from '../../store/threads.ts'
import { projectOf, type HttpContext } from '../context.ts'
import { newMessage } from '../new-records.ts'
import { pageQuery, pathId, single, type Query } from '../query.ts'
import { validator } from '../validate.ts'

const parseCreate = validator(CreateMessage)
const parseModify = validator(ModifyMetadata)

interface InThread {
  Params: { thread_id: string }
}
interface OneMessage {
  Params: { thread_id: string; message_id: string }
}

export function messageRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store
  const threadOf = (params: InThread['Params']) => pathId('thread', 'thread_id', params.thread_id)
  const idOf = (params: OneMessage['Params']) => pathId('message', 'message_id', params.message_id)

  app.post<InThread>('/v1/threads/:thread_id/messages', async (request) => {
    const thread = threadOf(request.params)
    const body = parseCreate(request.body)
    const project_id = projectOf(request)
    const message = newMessage(project_id, thread, store.clock.now(), body)
    const written = await store.write({
      kind: 'append',
      thread: { id: thread, project_id },
      messages: [message],
    })
    if (written.outcome === 'gone') throw notFound('thread', thread)
    if (written.outcome === 'locked') {
      const text = `Can't add messages to ${thread} while a run ${written.runId} is active.`
      throw new ApiError('active_run_blocks_message', text)
    }
    return toMessage(message)
  })

  app.get<InThread & { Querystring: Query }>('/v1/threads/:thread_id/messages', async (request) => {
    const thread = threadOf(request.params)
    const project = projectOf(request)
    const page = pageQuery(request.query)
    const runId = single(request.query, 'run_id') || null
    const { rows, hasMore } = await listMessages(pool, project, thread, runId, page)
    if (rows.length === 0 && !(await getThread(pool, project, thread))) throw notFound('thread', thread)
    return toList(rows.map(toMessage), hasMore)
  })

  app.get<OneMessage>('/v1/threads/:thread_id/messages/:message_id', async (request) => {
    const [thread, id] = [threadOf(request.params), idOf(request.params)]
    const message = await getMessage(pool, projectOf(request), thread, id)
    if (!message) throw notFound('message', id)
    return toMessage(message)
  })

  app.post<OneMessage>('/v1/threads/:thread_id/messages/:message_id', async (request) => {
    const [thread, id] = [threadOf(request.params), idOf(request.params)]
    const { metadata } = parseModify(request.body)
    const message = await updateMessageMetadata(pool, projectOf(request), thread, id, (old) =>
      mergeMetadata(old, metadata),
    )
    if (!message) throw notFound('message', id)
    return toMessage(message)
  })

  app.delete<OneMessage>('/v1/threads/:thread_id/messages/:message_id', async (request) => {
    const [thread, id] = [threadOf(request.params), idOf(request.params)]
    const key = { id: thread, project_id: projectOf(request) }
    const written = await store.write({ kind: 'delete_message', thread: key, messageId: id })
    if (written.outcome === 'gone') throw notFound('thread', thread)
    if (written.outcome === 'missing') throw notFound('message', id)
    if (written.outcome === 'locked') {
      const text = `Can't delete messages of ${thread} while a run ${written.runId} is active.`
      throw new ApiError('active_run_blocks_message_delete', text)
    }
    return { id, object: 'thread.message.deleted', deleted: true }
  })
}
