import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { unknownUrl } from '../../contract/errors.ts'
import { AssistantFile, MessageFile } from '../../contract/file-object.ts'
import { Deleted } from '../../contract/objects.ts'
import { ListObject, PageQuery, toList } from '../../contract/paging.ts'
import { closed } from '../../contract/schema.ts'
import type { HttpContext } from '../context.ts'
import {
  assistantFile,
  assistantFiles,
  giveFile,
  messageFile,
  messageFiles,
  pageAmong,
  takeFile,
} from '../file-actions.ts'
import { route } from '../route.ts'
import { isV1Era } from '../v1-era.ts'

// The files of assistants and messages as the first version of this API had them, each by a route of its own.

const tag = 'Files of version 1'
const ofAssistant = '/assistants/{assistant_id}/files'
const ofMessage = '/threads/{thread_id}/messages/{message_id}/files'

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
      beta: 'v1',
      errors: ['unknown_url'],
    },
    async ({ request, project, params: { assistant_id }, query }) => {
      onlyV1(request)
      return listOf(await assistantFiles(pool, project, assistant_id), query)
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
      beta: 'v1',
      errors: ['unknown_url'],
    },
    async ({ request, project, params: { assistant_id, file_id } }) => {
      onlyV1(request)
      return assistantFile(pool, project, assistant_id, file_id)
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
      beta: 'v1',
      errors: ['unknown_url', 'array_too_long'],
    },
    async ({ request, project, params: { assistant_id }, body: { file_id }, keep }) => {
      onlyV1(request)
      return giveFile(pool, project, assistant_id, file_id, keep)
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
      beta: 'v1',
      errors: ['unknown_url'],
    },
    async ({ request, project, params: { assistant_id, file_id } }) => {
      onlyV1(request)
      return takeFile(pool, project, assistant_id, file_id)
    },
  )
}

function messageFileRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
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
      beta: 'v1',
      errors: ['unknown_url'],
    },
    async ({ request, project, params, query }) => {
      onlyV1(request)
      return listOf(await messageFiles(pool, project, params), query)
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
      beta: 'v1',
      errors: ['unknown_url'],
    },
    async ({ request, project, params }) => {
      onlyV1(request)
      return messageFile(pool, project, params, params.file_id)
    },
  )
}

function listOf<T extends { id: string }>(files: T[], query: PageQuery) {
  const { rows, hasMore } = pageAmong(files, query)
  return toList(rows, hasMore)
}
