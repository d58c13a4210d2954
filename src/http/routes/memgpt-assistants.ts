import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { fileNotFound, notFound } from '../../contract/errors.ts'
import { AssistantFile, OpenAIAssistant } from '../../contract/memgpt-objects.ts'
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
import { assistantFields, pageOf, refuseV2Keys } from '../memgpt-input.ts'
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
  const fieldsOf = async (project: string, body: MemgptCreateAssistant) => {
    refuseV2Keys(body, MemgptCreateAssistant.properties)
    const fields = assistantFields(body)
    await refuseMissingFiles(pool, project, { resources: fields.tool_resources })
    return fields
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
    },
    async ({ project, body }) => {
      const assistant = newAssistant(project, store.clock.now(), await fieldsOf(project, body))
      await insertAssistant(pool, assistant)
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
    },
    async ({ project, params: { assistant_id: id }, body }) => {
      const fields = await fieldsOf(project, body)
      const assistant = await updateAssistant(pool, project, id, (old) => changedAssistant(old, fields))
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

const filesOf = (assistant: AssistantRecord): string[] =>
  assistant.tool_resources?.code_interpreter?.file_ids ?? []

const withFiles = (assistant: AssistantRecord, file_ids: string[]): AssistantRecord => ({
  ...assistant,
  tool_resources: { ...assistant.tool_resources, code_interpreter: { file_ids } },
})

/** A file of an assistant has no time of its own: it shows the assistant's. */
const shownFile = ({ id: assistant_id, created_at }: AssistantRecord, id: string): AssistantFile => ({
  id,
  object: 'assistant.file',
  created_at,
  assistant_id,
})

function fileWriteRoutes(app: FastifyInstance, context: HttpContext): void {
  const { pool } = context.store
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
    },
    async ({ project, params: { assistant_id: id }, body: { file_id } }) => {
      const resources = { code_interpreter: { file_ids: [file_id] } }
      await refuseMissingFiles(pool, project, { resources })
      const assistant = await updateAssistant(pool, project, id, (old) =>
        withFiles(old, [...new Set([...filesOf(old), file_id])]),
      )
      if (!assistant) throw notFound('assistant', id)
      return shownFile(assistant, file_id)
    },
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
    async ({ project, params: { assistant_id: id, file_id } }) => {
      let had = false
      const assistant = await updateAssistant(pool, project, id, (old) => {
        had = filesOf(old).includes(file_id)
        return had
          ? withFiles(
              old,
              filesOf(old).filter((one) => one !== file_id),
            )
          : old
      })
      if (!assistant) throw notFound('assistant', id)
      if (!had) throw fileNotFound(file_id)
      return { id: file_id, object: 'assistant.file.deleted' as const, deleted: true }
    },
  )
}

function fileReadRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  const assistantWith = async (project: string, id: string) => {
    const assistant = await getAssistant(pool, project, id)
    if (!assistant) throw notFound('assistant', id)
    return assistant
  }

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
    async ({ project, params: { assistant_id: id }, query }) => {
      const assistant = await assistantWith(project, id)
      const page = pageOf(query)
      const ids = filesOf(assistant).slice(0, page?.limit ?? 0)
      return ids.map((file) => shownFile(assistant, file))
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
    async ({ project, params: { assistant_id: id, file_id } }) => {
      const assistant = await assistantWith(project, id)
      if (!filesOf(assistant).includes(file_id)) throw fileNotFound(file_id)
      return shownFile(assistant, file_id)
    },
  )
}
