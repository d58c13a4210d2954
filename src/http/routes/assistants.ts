import type { FastifyInstance } from 'fastify'
import { notFound } from '../../contract/errors.ts'
import { newId } from '../../contract/ids.ts'
import type { Tool } from '../../contract/objects.ts'
import { toList } from '../../contract/paging.ts'
import { CreateAssistant, ModifyAssistant } from '../../contract/requests.ts'
import { mergeMetadata } from '../../domain/metadata.ts'
import type { AssistantRecord } from '../../domain/records.ts'
import { toAssistant } from '../../domain/to-wire.ts'
import {
  deleteAssistant,
  getAssistant,
  insertAssistant,
  listAssistants,
  updateAssistant,
} from '../../store/assistants.ts'
import { projectOf, type HttpContext } from '../context.ts'
import { pageQuery, pathId, type Query } from '../query.ts'
import { validator } from '../validate.ts'

const parseCreate = validator(CreateAssistant)
const parseModify = validator(ModifyAssistant)

interface OneAssistant {
  Params: { assistant_id: string }
}

export function assistantRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store
  const idOf = (params: OneAssistant['Params']) => pathId('assistant', 'assistant_id', params.assistant_id)

  app.post('/v1/assistants', async (request) => {
    const body = parseCreate(request.body)
    const assistant = newAssistant(projectOf(request), store.clock.now(), body)
    await insertAssistant(pool, assistant)
    return toAssistant(assistant)
  })

  app.get<{ Querystring: Query }>('/v1/assistants', async (request) => {
    const { rows, hasMore } = await listAssistants(pool, projectOf(request), pageQuery(request.query))
    return toList(rows.map(toAssistant), hasMore)
  })

  app.get<OneAssistant>('/v1/assistants/:assistant_id', async (request) => {
    const id = idOf(request.params)
    const assistant = await getAssistant(pool, projectOf(request), id)
    if (!assistant) throw notFound('assistant', id)
    return toAssistant(assistant)
  })

  app.post<OneAssistant>('/v1/assistants/:assistant_id', async (request) => {
    const id = idOf(request.params)
    const body = parseModify(request.body)
    const assistant = await updateAssistant(pool, projectOf(request), id, (old) => changed(old, body))
    if (!assistant) throw notFound('assistant', id)
    return toAssistant(assistant)
  })

  app.delete<OneAssistant>('/v1/assistants/:assistant_id', async (request) => {
    const id = idOf(request.params)
    if (!(await deleteAssistant(pool, projectOf(request), id))) throw notFound('assistant', id)
    return { id, object: 'assistant.deleted', deleted: true }
  })
}

function newAssistant(project: string, now: number, body: CreateAssistant): AssistantRecord {
  return {
    id: newId('assistant'),
    project_id: project,
    created_at: now,
    name: body.name ?? null,
    description: body.description ?? null,
    model: body.model,
    instructions: body.instructions ?? null,
    tools: (body.tools ?? []) as Tool[],
    tool_resources: body.tool_resources ?? null,
    metadata: body.metadata ?? {},
    temperature: body.temperature ?? null,
    top_p: body.top_p ?? null,
    response_format: body.response_format ?? 'auto',
    reasoning_effort: body.reasoning_effort ?? null,
  }
}

/** Omitted keys stay as they are, null clears, tools are replaced whole (wire.md §4). */
function changed(old: AssistantRecord, body: ModifyAssistant): AssistantRecord {
  const { model, tools, metadata, response_format, ...nullable } = body
  const given = Object.fromEntries(Object.entries(nullable).filter(([, value]) => value !== undefined))
  return {
    ...old,
    ...(given as Partial<AssistantRecord>),
    ...(model === undefined ? {} : { model }),
    ...(tools === undefined ? {} : { tools: (tools ?? []) as Tool[] }),
    ...(response_format === undefined ? {} : { response_format: response_format ?? 'auto' }),
    metadata: mergeMetadata(old.metadata, metadata),
  }
}
