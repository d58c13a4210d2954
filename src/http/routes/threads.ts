import type { FastifyInstance } from 'fastify'
import { notFound } from '../../contract/errors.ts'
import { Deleted, ThreadObject } from '../../contract/objects.ts'
import { ListObject, ThreadsQuery, toList } from '../../contract/paging.ts'
import { CreateThread, ModifyThread } from '../../contract/requests.ts'
import { mergeMetadata } from '../../domain/metadata.ts'
import type { ThreadRecord } from '../../domain/records.ts'
import { toThread } from '../../domain/to-wire.ts'
import { deleteThread } from '../../store/delete-thread.ts'
import { findThreads } from '../../store/thread-list.ts'
import { getThread, listThreads, updateThread } from '../../store/threads.ts'
import type { HttpContext } from '../context.ts'
import { noStoreHeaders, tellNoStore } from '../hosted-tools.ts'
import { refuseMissingFiles } from '../named-files.ts'
import { newMessage, newThread } from '../new-records.ts'
import { route } from '../route.ts'
import { refuseLongThread } from '../size-limits.ts'
import { policyHeaders, tellPolicy } from '../thread-policy.ts'
import { checkResources } from '../tool-resources.ts'

const tag = 'Threads'
const path = '/threads/{thread_id}'

export function threadRoutes(app: FastifyInstance, context: HttpContext): void {
  createAndListRoutes(app, context)
  threadByIdRoutes(app, context)
}

function createAndListRoutes(app: FastifyInstance, context: HttpContext): void {
  const { store } = context
  const { pool } = store

  route(
    app,
    {
      id: 'createThread',
      method: 'POST',
      path: '/threads',
      tag,
      summary: 'Creates a thread, with its first messages if any.',
      body: CreateThread,
      answer: ThreadObject,
      policy: 'sets',
      headers: ['x-tools-not-run', 'x-thread-policy'],
      errors: ['not_found'],
    },
    async ({ request, reply, project, policy, body, keep }) => {
      refuseLongThread(request.principal, body.messages ?? [], 'messages')
      checkResources(body.tool_resources)
      await refuseMissingFiles(pool, project, { messages: body.messages, resources: body.tool_resources })
      const now = store.clock.now()
      const thread = newThread(project, now, body, policy)
      const messages = (body.messages ?? []).map((message) => newMessage(project, thread.id, now, message))
      const headers = { ...policyHeaders(thread), ...noStoreHeaders(body.tool_resources) }
      const kept = keep.answer(toThread, () => headers)(thread)
      await store.write({ kind: 'create_thread', thread, messages, kept })
      tellNoStore(context, reply, body.tool_resources)
      tellPolicy(reply, thread)
      return toThread(thread)
    },
  )

  // The hosted API refused this to API keys (wire.md §4): an extension.
  route(
    app,
    {
      id: 'listThreads',
      method: 'GET',
      path: '/threads',
      tag,
      summary: 'Lists threads, also by their metadata and by when they were created.',
      query: ThreadsQuery,
      answer: ListObject(ThreadObject),
      details:
        'An extension: the hosted API refused this to API keys. Filters and cursors go together; a cursor may be any thread.',
    },
    async ({ project, query }) => {
      const filtered = query.metadata !== undefined || query.created_at !== undefined
      const { rows, hasMore } = await (filtered ? findThreads : listThreads)(pool, project, query)
      return toList(rows.map(toThread), hasMore)
    },
  )
}

function threadByIdRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store

  route(
    app,
    {
      id: 'getThread',
      method: 'GET',
      path,
      tag,
      summary: 'Retrieves a thread.',
      answer: ThreadObject,
      headers: ['x-thread-policy'],
    },
    async ({ reply, project, params: { thread_id } }) => {
      const thread = await getThread(pool, project, thread_id)
      if (!thread) throw notFound('thread', thread_id)
      tellPolicy(reply, thread)
      return toThread(thread)
    },
  )

  route(
    app,
    {
      id: 'modifyThread',
      method: 'POST',
      path,
      tag,
      summary: "Changes a thread's metadata or tool resources.",
      body: ModifyThread,
      answer: ThreadObject,
      policy: 'sets',
      headers: ['x-thread-policy'],
    },
    async ({ reply, project, policy, params: { thread_id }, body, keep }) => {
      await refuseMissingFiles(pool, project, { resources: body.tool_resources })
      const change = (old: ThreadRecord) => ({
        ...old,
        metadata: mergeMetadata(old.metadata, body.metadata),
        tool_resources: body.tool_resources === undefined ? old.tool_resources : body.tool_resources,
        policy: policy ?? old.policy,
      })
      const keeping = keep.answer(toThread, policyHeaders)
      const thread = await updateThread(pool, project, thread_id, change, keeping)
      if (!thread) throw notFound('thread', thread_id)
      tellPolicy(reply, thread)
      return toThread(thread)
    },
  )

  route(
    app,
    {
      id: 'deleteThread',
      method: 'DELETE',
      path,
      tag,
      summary: 'Deletes a thread with all that is in it; a run that holds it ends as cancelled.',
      answer: Deleted('thread.deleted'),
    },
    async ({ project, params: { thread_id: id } }) => {
      if (!(await deleteThread(store, { project_id: project, id }))) throw notFound('thread', id)
      return { id, object: 'thread.deleted' as const, deleted: true }
    },
  )
}
