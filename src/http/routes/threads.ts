import type { FastifyInstance } from 'fastify'
import { notFound } from '../../contract/errors.ts'
import { CreateThread, ModifyThread } from '../../contract/requests.ts'
import { mergeMetadata } from '../../domain/metadata.ts'
import { toThread } from '../../domain/to-wire.ts'
import { deleteThread } from '../../store/delete-thread.ts'
import { getThread, updateThread } from '../../store/threads.ts'
import { projectOf, type HttpContext } from '../context.ts'
import { newMessage, newThread } from '../new-records.ts'
import { pathId } from '../query.ts'
import { validator } from '../validate.ts'

const parseCreate = validator(CreateThread)
const parseModify = validator(ModifyThread)

interface OneThread {
  Params: { thread_id: string }
}

export function threadRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store
  const idOf = (params: OneThread['Params']) => pathId('thread', 'thread_id', params.thread_id)

  app.post('/v1/threads', async (request) => {
    const body = parseCreate(request.body)
    const project = projectOf(request)
    const now = store.clock.now()
    const thread = newThread(project, now, body)
    const messages = (body.messages ?? []).map((message) => newMessage(project, thread.id, now, message))
    await store.write({ kind: 'create_thread', thread, messages })
    return toThread(thread)
  })

  app.get<OneThread>('/v1/threads/:thread_id', async (request) => {
    const id = idOf(request.params)
    const thread = await getThread(pool, projectOf(request), id)
    if (!thread) throw notFound('thread', id)
    return toThread(thread)
  })

  app.post<OneThread>('/v1/threads/:thread_id', async (request) => {
    const id = idOf(request.params)
    const body = parseModify(request.body)
    const thread = await updateThread(pool, projectOf(request), id, (old) => ({
      ...old,
      metadata: mergeMetadata(old.metadata, body.metadata),
      tool_resources: body.tool_resources === undefined ? old.tool_resources : body.tool_resources,
    }))
    if (!thread) throw notFound('thread', id)
    return toThread(thread)
  })

  app.delete<OneThread>('/v1/threads/:thread_id', async (request) => {
    const id = idOf(request.params)
    if (!(await deleteThread(store, { project_id: projectOf(request), id }))) throw notFound('thread', id)
    return { id, object: 'thread.deleted', deleted: true }
  })
}
