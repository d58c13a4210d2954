import type pg from 'pg'
import type { Metadata } from '../contract/schema.ts'
import type { PageQuery } from '../contract/paging.ts'
import type { HostedToolName } from '../contract/tools.ts'
import type { MessageRecord, RunRecord } from '../domain/records.ts'
import { keepAnswer, keepNothing, type Keeping } from './idempotency.ts'
import { readPage, storedSize, type Page } from './page.ts'
import { inTransaction, query } from './pool.ts'
import type { Recent } from './recent.ts'
import { withoutSeq, type MessageRow } from './rows.ts'
import { keysOf } from './runs.ts'
import { live } from './threads.ts'

const columns = `id, project_id, thread_id, seq, role, status, content, assistant_id, run_id, attachments, metadata,
  created_at, ended_at, incomplete_reason`

const selectText = `select ${columns} from messages where thread_id = $2 and id = $3 and project_id = $1
  ${live}`

const lockText = `${selectText} for update`

const updateText = `
update messages set metadata = $4 where thread_id = $2 and id = $3 and project_id = $1`

/** What of a message may be large. */
const large = ['content', 'attachments', 'metadata']

const list = {
  name: 'list_messages',
  large,
  text: `select ${columns} from messages where project_id = $1 and thread_id = $2 and seq > $3 and seq < $4
  ${live}`,
  cursor: 'select seq from messages where project_id = $1 and thread_id = $2 and id = $3',
}

const listOfRun = {
  name: 'list_messages_of_run',
  large,
  text: `select ${columns} from messages
where project_id = $1 and thread_id = $2 and run_id = $3 and seq > $4 and seq < $5
  ${live}`,
  cursor: 'select seq from messages where project_id = $1 and thread_id = $2 and run_id = $3 and id = $4',
}

// The newest first, so that a long thread costs no more than what the model's window takes. A content is not read for its
// size.
const newestText =
  `
select ${columns}, seen from (
  select *, count(*) over (order by seq desc) as nth, count(*) over () as seen, sum(size) over (order by seq desc) as total
  from (
    select *, ` +
  storedSize(['content']) +
  ` as size
    from messages
    where project_id = $1 and thread_id = $2 and status <> 'in_progress' and seq < $3
    order by seq desc limit $4
  ) newest
) sized
where nth = 1 or total <= $5
order by seq desc`

const openText = `
select ${columns} from messages
where project_id = $1 and thread_id = $2 and run_id = $3 and status = 'in_progress' order by seq`

const openOfRunsText = `
select found.* from unnest($1::text[], $2::text[], $3::text[]) as of_run(project, thread, run),
  lateral (select ${columns} from messages
    where project_id = of_run.project and thread_id = of_run.thread and run_id = of_run.run and status = 'in_progress'
    order by seq) found`

const ofRunText = `
select ${columns} from messages where project_id = $1 and thread_id = $2 and run_id = $3 order by seq`

export async function getMessage(
  pool: pg.Pool,
  project: string,
  thread: string,
  id: string,
): Promise<MessageRecord | null> {
  const rows = await query<MessageRow>(pool, 'get_message', selectText, [project, thread, id])
  return rows[0] ? withoutSeq(rows[0]) : null
}

/** Where messages are read: from the database, or from what is known of it. */
export interface MessageSource {
  readonly pool: pg.Pool
  readonly recent: Recent
}

/** A page of a thread's messages, or of those of one run. Throws ApiError for an unknown cursor. */
export async function listMessages(
  { pool, recent }: MessageSource,
  project: string,
  thread: string,
  runId: string | null,
  page: PageQuery,
): Promise<Page<MessageRecord>> {
  const known = runId === null ? recent.messages.page(project, thread, page) : null
  if (known !== null) return known
  const { rows, hasMore } =
    runId === null
      ? await readPage<MessageRow>(pool, list, [project, thread], page)
      : await readPage<MessageRow>(pool, listOfRun, [project, thread, runId], page)
  return { rows: rows.map(withoutSeq), hasMore }
}

/** Bytes of the messages of one page, about. */
const pageBytes = 4 * 1_024 * 1_024

/** Up to `limit` finished messages before `seq`, the newest first; fewer if they are large. `more` = there may be others. */
export async function newestMessages(
  { pool, recent }: MessageSource,
  project: string,
  thread: string,
  beforeSeq: number,
  limit: number,
): Promise<{ messages: MessageRow[]; more: boolean }> {
  const known = recent.messages.newest(project, thread, beforeSeq, limit)
  if (known !== null) return known
  const values = [project, thread, beforeSeq, limit, pageBytes]
  const rows = await query<MessageRow & { seen: number }>(pool, 'newest_messages', newestText, values)
  const seen = rows[0]?.seen ?? 0
  return { messages: rows.map(({ seen: _, ...row }) => row), more: seen === limit || seen > rows.length }
}

/** Messages that the run has begun and not ended. */
export async function openMessages(
  pool: pg.Pool,
  project: string,
  thread: string,
  runId: string,
): Promise<MessageRecord[]> {
  const rows = await query<MessageRow>(pool, 'open_messages', openText, [project, thread, runId])
  return rows.map(withoutSeq)
}

/** Messages that these runs have begun and not ended, in order within each run. */
export async function openMessagesOfRuns(
  pool: pg.Pool,
  runs: readonly RunRecord[],
): Promise<MessageRecord[]> {
  const rows = await query<MessageRow>(pool, 'open_messages_of_runs', openOfRunsText, keysOf(runs))
  return rows.map(withoutSeq)
}

/** All messages of a run, in order. */
export async function messagesOfRun(
  pool: pg.Pool,
  project: string,
  thread: string,
  runId: string,
): Promise<MessageRecord[]> {
  const rows = await query<MessageRow>(pool, 'messages_of_run', ofRunText, [project, thread, runId])
  return rows.map(withoutSeq)
}

/** Applies `change` to the message's metadata under its row lock; null if there is no such message. */
export async function updateMessageMetadata(
  { pool, recent }: MessageSource,
  project: string,
  thread: string,
  id: string,
  change: (metadata: Metadata) => Metadata,
  keeping: Keeping<MessageRecord> = keepNothing,
): Promise<MessageRecord | null> {
  try {
    return await inTransaction(pool, async (client) => {
      const { rows } = await client.query<MessageRow>(lockText, [project, thread, id])
      if (!rows[0]) return null
      const metadata = change(rows[0].metadata)
      await client.query(updateText, [project, thread, id, JSON.stringify(metadata)])
      const message = { ...withoutSeq(rows[0]), metadata }
      await keepAnswer(client, keeping(message))
      return message
    })
  } finally {
    recent.messages.forget(thread)
  }
}

/** The hosted tools for which messages of a thread have files attached. */
export async function attachedTools(
  pool: pg.Pool,
  project: string,
  thread: string,
): Promise<HostedToolName[]> {
  const text = `select distinct tool ->> 'type' as type
    from messages, jsonb_array_elements(attachments) attachment, jsonb_array_elements(attachment -> 'tools') tool
    where project_id = $1 and thread_id = $2 and attachments <> '[]'::jsonb`
  const rows = await query<{ type: HostedToolName }>(pool, 'attached_tools', text, [project, thread])
  return rows.map(({ type }) => type)
}
