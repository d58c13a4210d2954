import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { fileNotFound, notFound } from '../../contract/errors.ts'
import { MessageFile, OpenAIMessage, OpenAIThread } from '../../contract/memgpt-objects.ts'
import {
  MemgptCreateMessage,
  MemgptCreateThread,
  MemgptModify,
  MemgptPage,
} from '../../contract/memgpt-requests.ts'
import { Deleted } from '../../contract/objects.ts'
import { mergeMetadata } from '../../domain/metadata.ts'
import { toMemgptMessage, toMemgptThread } from '../../domain/to-memgpt.ts'
import { deleteThread } from '../../store/delete-thread.ts'
import { getMessage, listMessages, updateMessageMetadata } from '../../store/messages.ts'
import { getThread, updateThread } from '../../store/threads.ts'
import type { HttpContext } from '../context.ts'
import { pageOf } from '../memgpt-input.ts'
import { addMessage } from '../message-actions.ts'
import { newMessage, newThread } from '../new-records.ts'
import { route } from '../route.ts'

// Threads and messages in the memgpt dialect (memgpt-dialect.md §5).

const dialect = 'memgpt'
const onThread = '/threads/{thread_id}'
const inThread = '/threads/{thread_id}/messages'
const onMessage = '/threads/{thread_id}/messages/{message_id}'

export function memgptThreadRoutes(app: FastifyInstance, context: HttpContext): void {
  threadRoutes(app, context)
  messageRoutes(app, context)
  messageByIdRoutes(app, context)
}

function threadRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store
  const tag = 'Threads'

  route(
    app,
    {
      id: 'createThreadV1ThreadsPost',
      method: 'POST',
      path: '/threads',
      tag,
      summary: 'Creates a thread; each text becomes a message of the user.',
      dialect,
      body: MemgptCreateThread,
      answer: OpenAIThread,
    },
    async ({ project, body: { messages: texts, metadata } }) => {
      const now = store.clock.now()
      const thread = newThread(project, now, { metadata: metadata ?? null })
      const messages = (texts ?? []).map((content) =>
        newMessage(project, thread.id, now, { role: 'user', content }),
      )
      await store.write({ kind: 'create_thread', thread, messages })
      return toMemgptThread(thread)
    },
  )

  route(
    app,
    {
      // The original served the change under GET; a GET here changes nothing, whatever its body says.
      id: 'retrieveThreadV1ThreadsThreadIdGet',
      method: 'GET',
      path: onThread,
      tag,
      summary: 'Retrieves a thread.',
      dialect,
      answer: OpenAIThread,
    },
    async ({ project, params: { thread_id } }) => {
      const thread = await getThread(pool, project, thread_id)
      if (!thread) throw notFound('thread', thread_id)
      return toMemgptThread(thread)
    },
  )

  route(
    app,
    {
      id: 'modifyThreadV1ThreadsThreadIdPost',
      method: 'POST',
      path: onThread,
      tag,
      summary: "Changes a thread's metadata.",
      dialect,
      body: MemgptModify,
      answer: OpenAIThread,
    },
    async ({ project, params: { thread_id }, body: { metadata } }) => {
      const thread = await updateThread(pool, project, thread_id, (old) => ({
        ...old,
        metadata: mergeMetadata(old.metadata, metadata),
      }))
      if (!thread) throw notFound('thread', thread_id)
      return toMemgptThread(thread)
    },
  )

  route(
    app,
    {
      id: 'deleteThreadV1ThreadsThreadIdDelete',
      method: 'DELETE',
      path: onThread,
      tag,
      summary: 'Deletes a thread with all that is in it; a run that holds it ends as cancelled.',
      dialect,
      answer: Deleted('thread.deleted'),
    },
    async ({ project, params: { thread_id: id } }) => {
      if (!(await deleteThread(store, { project_id: project, id }))) throw notFound('thread', id)
      return { id, object: 'thread.deleted' as const, deleted: true }
    },
  )
}

const tag = 'Messages'

function messageRoutes(app: FastifyInstance, context: HttpContext): void {
  const { pool } = context.store

  route(
    app,
    {
      id: 'createMessageV1ThreadsThreadIdMessagesPost',
      method: 'POST',
      path: inThread,
      tag,
      summary: 'Adds a message to a thread that no run holds.',
      dialect,
      body: MemgptCreateMessage,
      answer: OpenAIMessage,
    },
    async ({ project, params: { thread_id }, body: { role, content, file_ids, metadata } }) => {
      const attachments = (file_ids ?? []).map((file_id) => ({ file_id, tools: [] }))
      const message = { role, content, attachments, metadata: metadata ?? null }
      return toMemgptMessage(await addMessage(context, project, thread_id, message))
    },
  )

  route(
    app,
    {
      id: 'listMessagesV1ThreadsThreadIdMessagesGet',
      method: 'GET',
      path: inThread,
      tag,
      summary: 'Lists the messages of a thread.',
      dialect,
      query: MemgptPage,
      answer: Type.Object({ messages: Type.Array(OpenAIMessage) }, { title: 'ListMessagesResponse' }),
    },
    async ({ project, params: { thread_id }, query }) => {
      const page = pageOf(query)
      const rows = page ? (await listMessages(pool, project, thread_id, null, page)).rows : []
      if (rows.length === 0 && !(await getThread(pool, project, thread_id)))
        throw notFound('thread', thread_id)
      return { messages: rows.map(toMemgptMessage) }
    },
  )
}

function messageByIdRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  route(
    app,
    {
      id: 'retrieveMessageV1ThreadsThreadIdMessagesMessageIdGet',
      method: 'GET',
      path: onMessage,
      tag,
      summary: 'Retrieves a message.',
      dialect,
      answer: OpenAIMessage,
    },
    async ({ project, params: { thread_id, message_id } }) => {
      const message = await getMessage(pool, project, thread_id, message_id)
      if (!message) throw notFound('message', message_id)
      return toMemgptMessage(message)
    },
  )

  route(
    app,
    {
      id: 'modifyMessageV1ThreadsThreadIdMessagesMessageIdPost',
      method: 'POST',
      path: onMessage,
      tag,
      summary: "Changes a message's metadata.",
      dialect,
      body: MemgptModify,
      answer: OpenAIMessage,
    },
    async ({ project, params: { thread_id, message_id }, body: { metadata } }) => {
      const message = await updateMessageMetadata(pool, project, thread_id, message_id, (old) =>
        mergeMetadata(old, metadata),
      )
      if (!message) throw notFound('message', message_id)
      return toMemgptMessage(message)
    },
  )

  route(
    app,
    {
      id: 'retrieveMessageFileV1ThreadsThreadIdMessagesMessageIdFilesFileIdGet',
      method: 'GET',
      path: `${onMessage}/files/{file_id}`,
      tag,
      summary: 'Retrieves a file of a message.',
      dialect,
      answer: MessageFile,
    },
    async ({ project, params: { thread_id, message_id, file_id } }) => {
      const message = await getMessage(pool, project, thread_id, message_id)
      if (!message) throw notFound('message', message_id)
      if (!message.attachments.some((one) => one.file_id === file_id)) throw fileNotFound(file_id)
      const { created_at } = message
      return { id: file_id, object: 'thread.message.file' as const, created_at, message_id }
    },
  )
}
