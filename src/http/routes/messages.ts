import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { ApiError, notFound } from '../../contract/errors.ts'
import { Deleted, MessageObject } from '../../contract/objects.ts'
import { ListObject, PageQuery, toList } from '../../contract/paging.ts'
import { CreateMessage, ModifyMetadata } from '../../contract/requests.ts'
import type { Metadata } from '../../contract/schema.ts'
import { mergeMetadata } from '../../domain/metadata.ts'
import { toMessage } from '../../domain/to-wire.ts'
import { getMessage, listMessages, updateMessageMetadata } from '../../store/messages.ts'
import { getThread } from '../../store/threads.ts'
import type { HttpContext } from '../context.ts'
import { addMessage } from '../message-actions.ts'
import { route } from '../route.ts'

const tag = 'Messages'
const inThread = '/threads/{thread_id}/messages'
const onMessage = '/threads/{thread_id}/messages/{message_id}'

export function messageRoutes(app: FastifyInstance, context: HttpContext): void {
  readRoutes(app, context)
  changeRoutes(app, context)
}

function readRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store
  route(
    app,
    {
      id: 'listMessages',
      method: 'GET',
      path: inThread,
      tag,
      summary: 'Lists the messages of a thread, or those that one run wrote.',
      query: Type.Object({ ...PageQuery.properties, run_id: Type.Optional(Type.String()) }),
      answer: ListObject(MessageObject),
    },
    async ({ project, params: { thread_id }, query }) => {
      const { run_id = null } = query
      const { rows, hasMore } = await listMessages(store, project, thread_id, run_id, query)
      if (rows.length === 0 && !(await getThread(pool, project, thread_id)))
        throw notFound('thread', thread_id)
      return toList(rows.map(toMessage), hasMore)
    },
  )

  route(
    app,
    {
      id: 'getMessage',
      method: 'GET',
      path: onMessage,
      tag,
      summary: 'Retrieves a message.',
      answer: MessageObject,
    },
    async ({ project, params: { thread_id, message_id } }) => {
      const message = await getMessage(pool, project, thread_id, message_id)
      if (!message) throw notFound('message', message_id)
      return toMessage(message)
    },
  )
}

function changeRoutes(app: FastifyInstance, context: HttpContext): void {
  const { store } = context

  route(
    app,
    {
      id: 'createMessage',
      method: 'POST',
      path: inThread,
      tag,
      summary: 'Adds a message to a thread; while a run holds it, as x-thread-policy says.',
      body: CreateMessage,
      answer: MessageObject,
      policy: 'applies',
      errors: ['active_run_blocks_message', 'thread_too_long'],
    },
    async ({ request, policy, params: { thread_id }, body, keep }) =>
      toMessage(
        await addMessage(context, request.principal, thread_id, body, policy, keep.answer(toMessage)),
      ),
  )

  route(
    app,
    {
      id: 'modifyMessage',
      method: 'POST',
      path: onMessage,
      tag,
      summary: "Changes a message's metadata.",
      body: ModifyMetadata,
      answer: MessageObject,
    },
    async ({ project, params: { thread_id, message_id }, body: { metadata }, keep }) => {
      const change = (old: Metadata) => mergeMetadata(old, metadata)
      const keeping = keep.answer(toMessage)
      const message = await updateMessageMetadata(store, project, thread_id, message_id, change, keeping)
      if (!message) throw notFound('message', message_id)
      return toMessage(message)
    },
  )

  route(
    app,
    {
      id: 'deleteMessage',
      method: 'DELETE',
      path: onMessage,
      tag,
      summary: 'Deletes a message of a thread that no run holds.',
      answer: Deleted('thread.message.deleted'),
      errors: ['active_run_blocks_message_delete'],
    },
    async ({ project, params: { thread_id, message_id: id } }) => {
      const thread = { id: thread_id, project_id: project }
      const written = await store.write({ kind: 'delete_message', thread, messageId: id })
      if (written.outcome === 'gone') throw notFound('thread', thread_id)
      if (written.outcome === 'missing') throw notFound('message', id)
      if (written.outcome === 'locked') {
        const text = `Can't delete messages of ${thread_id} while a run ${written.runId} is active.`
        throw new ApiError('active_run_blocks_message_delete', text)
      }
      return { id, object: 'thread.message.deleted' as const, deleted: true }
    },
  )
}
