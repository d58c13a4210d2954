import type { FastifyInstance } from 'fastify'
import { notFound } from '../../contract/errors.ts'
import { AssistantObject, Deleted } from '../../contract/objects.ts'
import { ListObject, PageQuery, toList } from '../../contract/paging.ts'
import { CreateAssistant, ModifyAssistant } from '../../contract/requests.ts'
import type { AssistantRecord } from '../../domain/records.ts'
import { toAssistant } from '../../domain/to-wire.ts'
import {
  deleteAssistant,
  getAssistant,
  insertAssistant,
  listAssistants,
  updateAssistant,
} from '../../store/assistants.ts'
import type { HttpContext } from '../context.ts'
import { noStoreHeaders, tellNoStore } from '../hosted-tools.ts'
import { refuseMissingFiles } from '../named-files.ts'
import { changedAssistant, newAssistant } from '../new-records.ts'
import { route } from '../route.ts'
import { checkResources } from '../tool-resources.ts'

const tag = 'Assistants'
const path = '/assistants/{assistant_id}'

export function assistantRoutes(app: FastifyInstance, context: HttpContext): void {
  createAndListRoutes(app, context)
  assistantByIdRoutes(app, context)
}

function createAndListRoutes(app: FastifyInstance, context: HttpContext): void {
  const { store } = context
  const { pool } = store

  route(
    app,
    {
      id: 'createAssistant',
      method: 'POST',
      path: '/assistants',
      tag,
      summary: 'Creates an assistant.',
      body: CreateAssistant,
      answer: AssistantObject,
      headers: ['x-tools-not-run'],
      errors: ['not_found'],
    },
    async ({ reply, project, body, keep }) => {
      checkResources(body.tool_resources)
      await refuseMissingFiles(pool, project, { resources: body.tool_resources })
      const assistant = newAssistant(project, store.clock.now(), body)
      const keeping = keep.answer(toAssistant, () => noStoreHeaders(body.tool_resources))
      await insertAssistant(pool, assistant, keeping(assistant))
      tellNoStore(context, reply, body.tool_resources)
      return toAssistant(assistant)
    },
  )

  route(
    app,
    {
      id: 'listAssistants',
      method: 'GET',
      path: '/assistants',
      tag,
      summary: 'Lists assistants.',
      query: PageQuery,
      answer: ListObject(AssistantObject),
    },
    async ({ project, query }) => {
      const { rows, hasMore } = await listAssistants(pool, project, query)
      return toList(rows.map(toAssistant), hasMore)
    },
  )
}

function assistantByIdRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  route(
    app,
    {
      id: 'getAssistant',
      method: 'GET',
      path,
      tag,
      summary: 'Retrieves an assistant.',
      answer: AssistantObject,
    },
    async ({ project, params: { assistant_id: id } }) => {
      const assistant = await getAssistant(pool, project, id)
      if (!assistant) throw notFound('assistant', id)
      return toAssistant(assistant)
    },
  )

  route(
    app,
    {
      id: 'modifyAssistant',
      method: 'POST',
      path,
      tag,
      summary: 'Changes an assistant; runs that exist keep their settings.',
      body: ModifyAssistant,
      answer: AssistantObject,
    },
    async ({ project, params: { assistant_id: id }, body, keep }) => {
      await refuseMissingFiles(pool, project, { resources: body.tool_resources })
      const change = (old: AssistantRecord) => changedAssistant(old, body)
      const assistant = await updateAssistant(pool, project, id, change, keep.answer(toAssistant))
      if (!assistant) throw notFound('assistant', id)
      return toAssistant(assistant)
    },
  )

  route(
    app,
    {
      id: 'deleteAssistant',
      method: 'DELETE',
      path,
      tag,
      summary: 'Deletes an assistant; runs that exist go on.',
      answer: Deleted('assistant.deleted'),
    },
    async ({ project, params: { assistant_id: id } }) => {
      if (!(await deleteAssistant(pool, project, id))) throw notFound('assistant', id)
      return { id, object: 'assistant.deleted' as const, deleted: true }
    },
  )
}
