import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { notFound } from '../../contract/errors.ts'
import { AssistantFile } from '../../contract/file-object.ts'
import { OpenAIAssistant } from '../../contract/memgpt-objects.ts'
import { MemgptAttachFile, MemgptCreateAssistant, MemgptPage } from '../../contract/memgpt-requests.ts'
import { Deleted } from '../../contract/objects.ts'
import type { AssistantRecord } from '../../domain/records.ts'
import { toMemgptAssistant } from '../../domain/to-memgpt.ts'
import {
  deleteAssistant,
  getAssistant,
  insertAssistant,
  listAssistants,
  updateAssistant,
} from '../../store/assistants.ts'
import type { HttpContext } from '../context.ts'
import { assistantFile, assistantFiles, giveFile, pageAmong, takeFile } from '../file-actions.ts'
import { assistantChanges, assistantFields, pageOf, refuseV2Keys } from '../memgpt-input.ts'
import { refuseMissingFiles } from '../named-files.ts'
import { changedAssistant, newAssistant } from '../new-records.ts'
import { route } from '../route.ts'

// Assistants in the memgpt dialect (memgpt-dialect.md §5).

const tag = 'Assistants'
const dialect = 'memgpt'
const onAssistant = '/assistants/{assistant_id}'

export function memgptAssistantRoutes(app: FastifyInstance, context: HttpContext): void {
  writeRoutes(app, context)
  readRoutes(app, context)
  fileWriteRoutes(app, context)
  fileReadRoutes(app, context)
}

function writeRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store
  /** Whether a body can be taken. Throws ApiError if not. */
  const check = async (project: string, body: MemgptCreateAssistant) => {
    refuseV2Keys('assistant', body, MemgptCreateAssistant)
    const resources = body.file_ids && { code_interpreter: { file_ids: body.file_ids } }
    await refuseMissingFiles(pool, project, { resources })
  }

  route(
    app,
    {
      id: 'createAssistantV1AssistantsPost',
      method: 'POST',
      path: '/assistants',
      tag,
      summary: 'Creates an assistant.',
      dialect,
      body: MemgptCreateAssistant,
      answer: OpenAIAssistant,
      errors: ['not_found', 'unknown_parameter'],
    },
    async ({ project, body, keep }) => {
      await check(project, body)
      const assistant = newAssistant(project, store.clock.now(), assistantFields(body))
      await insertAssistant(pool, assistant, keep.answer(toMemgptAssistant)(assistant))
      return toMemgptAssistant(assistant)
    },
  )

  route(
    app,
    {
      id: 'modifyAssistantV1AssistantsAssistantIdPost',
      method: 'POST',
      path: onAssistant,
      tag,
      summary: 'Changes an assistant; runs that exist keep their settings.',
      dialect,
      body: MemgptCreateAssistant,
      answer: OpenAIAssistant,
      errors: ['unknown_parameter'],
    },
    async ({ project, params: { assistant_id: id }, body, keep }) => {
      await check(project, body)
      const change = (old: AssistantRecord) => changedAssistant(old, assistantChanges(body, old))
      const assistant = await updateAssistant(pool, project, id, change, keep.answer(toMemgptAssistant))
      if (!assistant) throw notFound('assistant', id)
      return toMemgptAssistant(assistant)
    },
  )

  route(
    app,
    {
      id: 'deleteAssistantV1AssistantsAssistantIdDelete',
      method: 'DELETE',
      path: onAssistant,
      tag,
      summary: 'Deletes an assistant; runs that exist go on.',
      dialect,
      answer: Deleted('assistant.deleted'),
    },
    async ({ project, params: { assistant_id: id } }) => {
      if (!(await deleteAssistant(pool, project, id))) throw notFound('assistant', id)
      return { id, object: 'assistant.deleted' as const, deleted: true }
    },
  )
}

function readRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  route(
    app,
    {
      id: 'listAssistantsV1AssistantsGet',
      method: 'GET',
      path: '/assistants',
      tag,
      summary: 'Lists assistants.',
      dialect,
      query: MemgptPage,
      answer: Type.Array(OpenAIAssistant),
    },
    async ({ project, query }) => {
      const page = pageOf(query)
      return page ? (await listAssistants(pool, project, page)).rows.map(toMemgptAssistant) : []
    },
  )

  route(
    app,
    {
      id: 'retrieveAssistantV1AssistantsAssistantIdGet',
      method: 'GET',
      path: onAssistant,
      tag,
      summary: 'Retrieves an assistant.',
      dialect,
      answer: OpenAIAssistant,
    },
    async ({ project, params: { assistant_id: id } }) => {
      const assistant = await getAssistant(pool, project, id)
      if (!assistant) throw notFound('assistant', id)
      return toMemgptAssistant(assistant)
    },
  )
}

function fileWriteRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  route(
    app,
    {
      id: 'createAssistantFileV1AssistantsAssistantIdFilesPost',
      method: 'POST',
      path: `${onAssistant}/files`,
      tag,
      summary: 'Gives an assistant a file.',
      dialect,
      body: MemgptAttachFile,
      answer: AssistantFile,
      errors: ['array_too_long'],
    },
    async ({ project, params: { assistant_id }, body: { file_id }, keep }) =>
      giveFile(pool, project, assistant_id, file_id, keep),
  )

  route(
    app,
    {
      id: 'deleteAssistantFileV1AssistantsAssistantIdFilesFileIdDelete',
      method: 'DELETE',
      path: `${onAssistant}/files/{file_id}`,
      tag,
      summary: 'Takes a file from an assistant; the file itself stays.',
      dialect,
      answer: Deleted('assistant.file.deleted'),
    },
    async ({ project, params: { assistant_id, file_id } }) => takeFile(pool, project, assistant_id, file_id),
  )
}

function fileReadRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  route(
    app,
    {
      id: 'listAssistantFilesV1AssistantsAssistantIdFilesGet',
      method: 'GET',
      path: `${onAssistant}/files`,
      tag,
      summary: "Lists an assistant's files.",
      dialect,
      query: MemgptPage,
      answer: Type.Array(AssistantFile),
    },
    async ({ project, params: { assistant_id }, query }) => {
      const files = await assistantFiles(pool, project, assistant_id)
      const page = pageOf(query)
      return page ? pageAmong(files, page).rows : []
    },
  )

  route(
    app,
    {
      id: 'retrieveAssistantFileV1AssistantsAssistantIdFilesFileIdGet',
      method: 'GET',
      path: `${onAssistant}/files/{file_id}`,
      tag,
      summary: 'Retrieves a file of an assistant.',
      dialect,
      answer: AssistantFile,
    },
    async ({ project, params: { assistant_id, file_id } }) =>
      assistantFile(pool, project, assistant_id, file_id),
  )
}
