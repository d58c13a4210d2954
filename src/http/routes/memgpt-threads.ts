import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { notFound } from '../../contract/errors.ts'
import { MessageFile } from '../../contract/file-object.ts'
import { OpenAIMessage, OpenAIThread } from '../../contract/memgpt-objects.ts'
import {
  MemgptCreateMessage,
  MemgptCreateThread,
  MemgptModify,
  MemgptPage,
} from '../../contract/memgpt-requests.ts'
import { Deleted } from '../../contract/objects.ts'
import type { Metadata } from '../../contract/schema.ts'
import { mergeMetadata } from '../../domain/metadata.ts'
import type { ThreadRecord } from '../../domain/records.ts'
import { toMemgptMessage, toMemgptThread } from '../../domain/to-memgpt.ts'
import { deleteThread } from '../../store/delete-thread.ts'
import { getMessage, listMessages, updateMessageMetadata } from '../../store/messages.ts'
import { getThread, updateThread } from '../../store/threads.ts'
import type { HttpContext } from '../context.ts'
import { messageFile } from '../file-actions.ts'
import { pageOf, refuseV2Keys } from '../memgpt-input.ts'
import { addMessage } from '../message-actions.ts'
import { newMessage, newThread } from '../new-records.ts'
import { route } from '../route.ts'
import { refuseLongThread } from '../size-limits.ts'
import { policyHeaders, tellPolicy } from '../thread-policy.ts'

// Threads and messages in the memgpt dialect (memgpt-dialect.md §5).

const dialect = 'memgpt'
const onThread = '/threads/{thread_id}'
const inThread = '/threads/{thread_id}/messages'
const onMessage = '/threads/{thread_id}/messages/{message_id}'

export function memgptThreadRoutes(app: FastifyInstance, context: HttpContext): void {
  threadRoutes(app, context)
  changeThreadRoutes(app, context)
  messageRoutes(app, context)
  messageByIdRoutes(app, context)
}

const ofThreads = 'Threads'
const ofMessages = 'Messages'

function threadRoutes(app: FastifyInstance, { store }: HttpContext): void {
  route(
    app,
    {
      id: 'createThreadV1ThreadsPost',
      method: 'POST',
      path: '/threads',
      tag: ofThreads,
      summary: 'Creates a thread; each text becomes a message of the user.',
      dialect,
      body: MemgptCreateThread,
      answer: OpenAIThread,
      policy: 'sets',
      headers: ['x-thread-policy'],
      errors: ['unknown_parameter'],
    },
    async ({ request, reply, project, policy, body, keep }) => {
      refuseV2Keys('thread', body, MemgptCreateThread)
      refuseLongThread(request.principal, body.messages ?? [], 'messages')
      const { messages: texts, metadata } = body
      const now = store.clock.now()
      const thread = newThread(project, now, { metadata: metadata ?? null }, policy)
      const messages = (texts ?? []).map((content) =>
        newMessage(project, thread.id, now, { role: 'user', content }),
      )
      const kept = keep.answer(toMemgptThread, policyHeaders)(thread)
      await store.write({ kind: 'create_thread', thread, messages, kept })
      tellPolicy(reply, thread)
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
      tag: ofThreads,
      summary: 'Retrieves a thread.',
      dialect,
      answer: OpenAIThread,
      headers: ['x-thread-policy'],
    },
    async ({ reply, project, params: { thread_id } }) => {
      const thread = await getThread(store.pool, project, thread_id)
      if (!thread) throw notFound('thread', thread_id)
      tellPolicy(reply, thread)
      return toMemgptThread(thread)
    },
  )
}

function changeThreadRoutes(app: FastifyInstance, { store }: HttpContext): void {
  route(
    app,
    {
      id: 'modifyThreadV1ThreadsThreadIdPost',
      method: 'POST',
      path: onThread,
      tag: ofThreads,
      summary: "Changes a thread's metadata.",
      dialect,
      body: MemgptModify,
      answer: OpenAIThread,
      policy: 'sets',
      headers: ['x-thread-policy'],
      errors: ['unknown_parameter'],
    },
    async ({ reply, project, policy, params: { thread_id }, body, keep }) => {
      refuseV2Keys('thread', body, MemgptModify)
      const change = (old: ThreadRecord) => ({
        ...old,
        metadata: mergeMetadata(old.metadata, body.metadata),
        policy: policy ?? old.policy,
      })
      const keeping = keep.answer(toMemgptThread, policyHeaders)
      const thread = await updateThread(store.pool, project, thread_id, change, keeping)
      if (!thread) throw notFound('thread', thread_id)
      tellPolicy(reply, thread)
      return toMemgptThread(thread)
    },
  )

  route(
    app,
    {
      id: 'deleteThreadV1ThreadsThreadIdDelete',
      method: 'DELETE',
      path: onThread,
      tag: ofThreads,
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

function messageRoutes(app: FastifyInstance, context: HttpContext): void {
  const { store } = context
  const { pool } = store

  route(
    app,
    {
      id: 'createMessageV1ThreadsThreadIdMessagesPost',
      method: 'POST',
      path: inThread,
      tag: ofMessages,
      summary: 'Adds a message to a thread; while a run holds it, as x-thread-policy says.',
      dialect,
      body: MemgptCreateMessage,
      answer: OpenAIMessage,
      policy: 'applies',
      errors: ['active_run_blocks_message', 'thread_too_long', 'unknown_parameter'],
    },
    async ({ request, policy, params: { thread_id }, body, keep }) => {
      refuseV2Keys('message', body, MemgptCreateMessage)
      const { role, content, file_ids, metadata } = body
      const attachments = (file_ids ?? []).map((file_id) => ({ file_id, tools: [] }))
      const message = { role, content, attachments, metadata: metadata ?? null }
      const keeping = keep.answer(toMemgptMessage)
      return toMemgptMessage(
        await addMessage(context, request.principal, thread_id, message, policy, keeping),
      )
    },
  )

  route(
    app,
    {
      id: 'listMessagesV1ThreadsThreadIdMessagesGet',
      method: 'GET',
      path: inThread,
      tag: ofMessages,
      summary: 'Lists the messages of a thread.',
      dialect,
      query: MemgptPage,
      answer: Type.Object({ messages: Type.Array(OpenAIMessage) }, { title: 'ListMessagesResponse' }),
    },
    async ({ project, params: { thread_id }, query }) => {
      const page = pageOf(query)
      const rows = page ? (await listMessages(store, project, thread_id, null, page)).rows : []
      if (rows.length === 0 && !(await getThread(pool, project, thread_id)))
        throw notFound('thread', thread_id)
      return { messages: rows.map(toMemgptMessage) }
    },
  )
}

function messageByIdRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store
  route(
    app,
    {
      id: 'retrieveMessageV1ThreadsThreadIdMessagesMessageIdGet',
      method: 'GET',
      path: onMessage,
      tag: ofMessages,
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
      tag: ofMessages,
      summary: "Changes a message's metadata.",
      dialect,
      body: MemgptModify,
      answer: OpenAIMessage,
    },
    async ({ project, params: { thread_id, message_id }, body: { metadata }, keep }) => {
      const change = (old: Metadata) => mergeMetadata(old, metadata)
      const keeping = keep.answer(toMemgptMessage)
      const message = await updateMessageMetadata(store, project, thread_id, message_id, change, keeping)
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
      tag: ofMessages,
      summary: 'Retrieves a file of a message.',
      dialect,
      answer: MessageFile,
    },
    async ({ project, params }) => messageFile(pool, project, params, params.file_id),
  )
}
