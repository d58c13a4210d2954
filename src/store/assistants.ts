import type pg from 'pg'
import type { PageQuery } from '../contract/paging.ts'
import type { AssistantRecord } from '../domain/records.ts'
import { keepAnswer, keepNothing, type Keeping, type KeptAnswer } from './idempotency.ts'
import { readPage, type Page } from './page.ts'
import { inTransaction, query } from './pool.ts'
import { RecentAssistants } from './recent-assistants.ts'
import { withoutSeq, type AssistantRow } from './rows.ts'

const columns = `id, project_id, seq, created_at, name, description, model, instructions, tools, tool_resources,
  metadata, temperature, top_p, response_format, reasoning_effort`

const insertText = `
insert into assistants (id, project_id, created_at, name, description, model, instructions, tools,
  tool_resources, metadata, temperature, top_p, response_format, reasoning_effort)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

const updateText = `
update assistants set name = $3, description = $4, model = $5, instructions = $6, tools = $7, tool_resources = $8,
  metadata = $9, temperature = $10, top_p = $11, response_format = $12, reasoning_effort = $13
where id = $1 and project_id = $2`

const selectText = `select ${columns} from assistants where id = $1 and project_id = $2`

const lockText = `${selectText} for update`

const list = {
  name: 'list_assistants',
  large: ['instructions', 'tools', 'metadata', 'response_format'],
  text: `select ${columns} from assistants where project_id = $1 and seq > $2 and seq < $3`,
  cursor: 'select seq from assistants where project_id = $1 and id = $2',
}

/** What is kept of the assistants of a database, for pools that have it to themselves. */
const kept = new WeakMap<pg.Pool, RecentAssistants>()

/** Keeps assistants that are read through this pool. No other may change them. */
export function keepAssistants(pool: pg.Pool): void {
  kept.set(pool, new RecentAssistants())
}

export async function insertAssistant(
  pool: pg.Pool,
  a: AssistantRecord,
  answer: KeptAnswer | null = null,
): Promise<void> {
  const values = [a.id, a.project_id, a.created_at, ...changeable(a)]
  if (answer === null) return void (await query(pool, 'insert_assistant', insertText, values))
  await inTransaction(pool, async (client) => {
    await client.query({ name: 'insert_assistant', text: insertText, values })
    await keepAnswer(client, answer)
  })
}

/** The changeable columns in the statements' order, after id and project (and creation time, on insert). */
function changeable(a: AssistantRecord): unknown[] {
  return [
    a.name,
    a.description,
    a.model,
    a.instructions,
    JSON.stringify(a.tools),
    a.tool_resources && JSON.stringify(a.tool_resources),
    JSON.stringify(a.metadata),
    a.temperature,
    a.top_p,
    JSON.stringify(a.response_format),
    a.reasoning_effort,
  ]
}

export async function getAssistant(
  pool: pg.Pool,
  project: string,
  id: string,
): Promise<AssistantRecord | null> {
  const find = async () => {
    const rows = await query<AssistantRow>(pool, 'get_assistant', selectText, [id, project])
    return rows[0] ? withoutSeq(rows[0]) : null
  }
  return kept.get(pool)?.read(project, id, find) ?? find()
}

/** Makes a change to an assistant known to whoever keeps it. */
function changing<T>(pool: pg.Pool, id: string, change: () => Promise<T>): Promise<T> {
  return kept.get(pool)?.change(id, change) ?? change()
}

/** Applies `change` to the stored assistant under its row lock; null if there is none. */
export async function updateAssistant(
  pool: pg.Pool,
  project: string,
  id: string,
  change: (assistant: AssistantRecord) => AssistantRecord,
  keeping: Keeping<AssistantRecord> = keepNothing,
): Promise<AssistantRecord | null> {
  const update = async (client: pg.ClientBase) => {
    const { rows } = await client.query<AssistantRow>(lockText, [id, project])
    const next = rows[0] ? change(withoutSeq(rows[0])) : null
    if (next) {
      await client.query(updateText, [id, project, ...changeable(next)])
      await keepAnswer(client, keeping(next))
    }
    return next
  }
  return changing(pool, id, () => inTransaction(pool, update))
}

export async function listAssistants(
  pool: pg.Pool,
  project: string,
  page: PageQuery,
): Promise<Page<AssistantRecord>> {
  const { rows, hasMore } = await readPage<AssistantRow>(pool, list, [project], page)
  return { rows: rows.map(withoutSeq), hasMore }
}

/** Runs keep the settings that they copied. False if there is no such assistant. */
export async function deleteAssistant(pool: pg.Pool, project: string, id: string): Promise<boolean> {
  const text = 'delete from assistants where id = $1 and project_id = $2 returning id'
  const rows = await changing(pool, id, () => query(pool, 'delete_assistant', text, [id, project]))
  return rows.length > 0
}
