import type { FastifyInstance, FastifyRequest } from 'fastify'
import type pg from 'pg'
import { Type, type Static } from 'typebox'
import { ApiError, fileNotFound, notFound, unknownUrl } from '../../contract/errors.ts'
import { looksLikeId } from '../../contract/ids.ts'
import { Deleted } from '../../contract/objects.ts'
import { ListObject, PageQuery, toList } from '../../contract/paging.ts'
import { closed, Seconds } from '../../contract/schema.ts'
import type { AssistantRecord, FileRecord } from '../../domain/records.ts'
import { getAssistant, updateAssistant } from '../../store/assistants.ts'
import { getFile } from '../../store/files.ts'
import { getMessage } from '../../store/messages.ts'
import type { HttpContext } from '../context.ts'
import { route } from '../route.ts'
import { isV1Era } from '../v1-era.ts'

// The files of assistants and messages as the first version of this API had them, each by a route of its own. They are
// views: an assistant's files are those of its code interpreter, a message's are its attachments.

const tag = 'Files of version 1'
const ofAssistant = '/assistants/{assistant_id}/files'
const ofMessage = '/threads/{thread_id}/messages/{message_id}/files'
const maxFiles = 20

const AssistantFile = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('assistant.file'),
    created_at: Seconds,
    assistant_id: Type.String(),
  },
  { title: 'AssistantFile' },
)
const MessageFile = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.message.file'),
    created_at: Seconds,
    message_id: Type.String(),
  },
  { title: 'MessageFile' },
)

/** They are there for clients of the first version alone: the second has none. */
function onlyV1(request: FastifyRequest): void {
  if (!isV1Era(request)) throw unknownUrl(request.method, request.originalUrl)
}

export function v1FileRoutes(app: FastifyInstance, context: HttpContext): void {
  readAssistantFileRoutes(app, context)
  changeAssistantFileRoutes(app, context)
  messageFileRoutes(app, context)
}

function readAssistantFileRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  const find = async (project: string, id: string) => {
    const assistant = await getAssistant(pool, project, id)
    if (!assistant) throw notFound('assistant', id)
    return filesOf(assistant)
  }

  route(
    app,
    {
      id: 'listAssistantFiles',
      method: 'GET',
      path: ofAssistant,
      tag,
      summary: 'Lists the files of an assistant.',
      query: PageQuery,
      answer: ListObject(AssistantFile),
    },
    async ({ request, project, params: { assistant_id }, query }) => {
      onlyV1(request)
      const files = await existing(pool, project, await find(project, assistant_id))
      return pageOf(files.map(assistantFile(assistant_id)), query)
    },
  )

  route(
    app,
    {
      id: 'getAssistantFile',
      method: 'GET',
      path: `${ofAssistant}/{file_id}`,
      tag,
      summary: 'Retrieves a file of an assistant.',
      answer: AssistantFile,
    },
    async ({ request, project, params: { assistant_id, file_id } }) => {
      onlyV1(request)
      const named = (await find(project, assistant_id)).filter((id) => id === file_id)
      const [file] = await existing(pool, project, named)
      if (!file) throw fileNotFound(file_id)
      return assistantFile(assistant_id)(file)
    },
  )
}

function changeAssistantFileRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  route(
    app,
    {
      id: 'createAssistantFile',
      method: 'POST',
      path: ofAssistant,
      tag,
      summary: 'Gives a file to an assistant.',
      body: Type.Object({ file_id: Type.String() }, closed),
      answer: AssistantFile,
    },
    async ({ request, project, params: { assistant_id: id }, body: { file_id } }) => {
      onlyV1(request)
      const file = await getFile(pool, project, file_id)
      if (!file) throw fileNotFound(file_id)
      const change = (old: AssistantRecord) => withFiles(old, [...new Set([...filesOf(old), file_id])])
      if (!(await updateAssistant(pool, project, id, change))) throw notFound('assistant', id)
      return assistantFile(id)(file)
    },
  )

  route(
    app,
    {
      id: 'deleteAssistantFile',
      method: 'DELETE',
      path: `${ofAssistant}/{file_id}`,
      tag,
      summary: 'Takes a file from an assistant; the file itself stays.',
      answer: Deleted('assistant.file.deleted'),
    },
    async ({ request, project, params: { assistant_id, file_id: id } }) => {
      onlyV1(request)
      const change = (old: AssistantRecord) => {
        const files = filesOf(old)
        if (!files.includes(id)) throw fileNotFound(id)
        return withFiles(
          old,
          files.filter((file) => file !== id),
        )
      }
      if (!(await updateAssistant(pool, project, assistant_id, change)))
        throw notFound('assistant', assistant_id)
      return { id, object: 'assistant.file.deleted' as const, deleted: true }
    },
  )
}

function messageFileRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  const find = async (project: string, params: { thread_id: string; message_id: string }) => {
    const message = await getMessage(pool, project, params.thread_id, params.message_id)
    if (!message) throw notFound('message', params.message_id)
    return message.attachments.map(({ file_id }) => file_id)
  }
  const messageFile =
    (message_id: string) =>
    (file: FileRecord): Static<typeof MessageFile> => ({
      id: file.id,
      object: 'thread.message.file',
      created_at: file.created_at,
      message_id,
    })

  route(
    app,
    {
      id: 'listMessageFiles',
      method: 'GET',
      path: ofMessage,
      tag,
      summary: 'Lists the files of a message.',
      query: PageQuery,
      answer: ListObject(MessageFile),
    },
    async ({ request, project, params, query }) => {
      onlyV1(request)
      const files = await existing(pool, project, await find(project, params))
      return pageOf(files.map(messageFile(params.message_id)), query)
    },
  )

  route(
    app,
    {
      id: 'getMessageFile',
      method: 'GET',
      path: `${ofMessage}/{file_id}`,
      tag,
      summary: 'Retrieves a file of a message.',
      answer: MessageFile,
    },
    async ({ request, project, params }) => {
      onlyV1(request)
      const named = (await find(project, params)).filter((id) => id === params.file_id)
      const [file] = await existing(pool, project, named)
      if (!file) throw fileNotFound(params.file_id)
      return messageFile(params.message_id)(file)
    },
  )
}

function assistantFile(assistant_id: string): (file: FileRecord) => Static<typeof AssistantFile> {
  return ({ id, created_at }) => ({ id, object: 'assistant.file', created_at, assistant_id })
}

function filesOf(assistant: AssistantRecord): string[] {
  return assistant.tool_resources?.code_interpreter?.file_ids ?? []
}

function withFiles(assistant: AssistantRecord, file_ids: string[]): AssistantRecord {
  if (file_ids.length > maxFiles) {
    const text = `array too long. Expected an array with maximum length ${maxFiles}, but got an array with length ${file_ids.length} instead.`
    throw new ApiError('array_too_long', `Invalid 'file_ids': ${text}`, 'file_ids')
  }
  return { ...assistant, tool_resources: { ...assistant.tool_resources, code_interpreter: { file_ids } } }
}

/** The files among `ids` that have not been deleted, in their order. */
async function existing(pool: pg.Pool, project: string, ids: string[]): Promise<FileRecord[]> {
  const known = [...new Set(ids)].filter((id) => looksLikeId('file', id))
  const files = await Promise.all(known.map((id) => getFile(pool, project, id)))
  return files.filter((file) => file !== null)
}

/** A page of a list that is short enough to be at hand; it is in order of creation. */
function pageOf<T extends { id: string }>(items: T[], { limit, order, after, before }: PageQuery) {
  const ordered = order === 'asc' ? items : items.toReversed()
  const placeOf = (param: 'after' | 'before', id: string) => {
    const place = ordered.findIndex((item) => item.id === id)
    if (place >= 0) return place
    const text = `Invalid '${param}': no item with id '${id.slice(0, 200)}' is in this list.`
    throw new ApiError('unknown_cursor', text, param)
  }
  const from = after === undefined ? 0 : placeOf('after', after) + 1
  const to = before === undefined ? ordered.length : placeOf('before', before)
  const open = ordered.slice(from, to)
  // `before` alone asks for the page that is nearest to it (wire.md §3).
  const page = before !== undefined && after === undefined ? open.slice(-limit) : open.slice(0, limit)
  return toList(page, open.length > limit)
}
