import type pg from 'pg'
import type { Metadata } from '../contract/schema.ts'
import type { PageQuery } from '../contract/paging.ts'
import type { RunRecord } from '../domain/records.ts'
import { keepAnswer, keepNothing, type Keeping } from './idempotency.ts'
import { readPage, type Page } from './page.ts'
import { inTransaction, query } from './pool.ts'
import { runOf, type RunRow } from './rows.ts'
import { live } from './threads.ts'

/** The columns of RunRow. */
export const runColumns = `id, project_id, thread_id, seq, assistant_id, created_at, settings, metadata, status, version,
  owner_node, lease_epoch, deadline, started_at, ended_at, calls, error, reason, prompt_tokens, completion_tokens,
  total_tokens, turns, attempts`

const selectText = `select ${runColumns} from runs where thread_id = $2 and id = $3 and project_id = $1
  ${live}`

const lockText = `${selectText} for update`

const updateText = `update runs set metadata = $4 where thread_id = $2 and id = $3 and project_id = $1`

const list = {
  name: 'list_runs',
  large: ['settings', 'metadata', 'calls', 'error'],
  text: `select ${runColumns} from runs where project_id = $1 and thread_id = $2 and seq > $3 and seq < $4
  ${live}`,
  cursor: 'select seq from runs where project_id = $1 and thread_id = $2 and id = $3',
}

// The status is left as it is: owning a queued run is not a change of the run's life, starting it is.
const claimText = `
update runs set owner_node = $1, lease_epoch = lease_epoch + 1, version = version + 1
where (thread_id, id) in (
  select thread_id, id from runs
  where status = 'queued' and owner_node is null and deadline > floor(threadmill_now())::bigint
  order by created_at limit $2 for update skip locked)
returning ${runColumns}`

// What an owner has not committed yet only it can: a run of a living one is left to it until long after the deadline.
const dueText = `
select ${runColumns} from runs
where status in ('queued', 'in_progress', 'requires_action', 'cancelling') and deadline <= floor(threadmill_now())::bigint
  and (owner_node = $1 or deadline <= floor(threadmill_now())::bigint - $3
    or not exists (select from nodes where nodes.id = owner_node and seen_at > threadmill_now() - $2))
order by deadline limit $4`

// Runs of nodes that stopped beating: a missing row means that the node left or was forgotten, not that it lives. Each node takes
// them in an order of its own, so that those who live do not do the same work twice.
const orphanedText = `
select ${runColumns}, (select true from nodes where nodes.id = owner_node limit 1) is null as owner_left from runs
where owner_node is not null and owner_node <> $1
  and not exists (select from nodes where nodes.id = owner_node and seen_at > threadmill_now() - $2)
order by hashtext(id || $1) limit $3`

const ownedText = `select ${runColumns} from runs where owner_node = $1`

export async function getRun(
  pool: pg.Pool,
  project: string,
  thread: string,
  id: string,
): Promise<RunRecord | null> {
  const rows = await query<RunRow>(pool, 'get_run', selectText, [project, thread, id])
  return rows[0] ? runOf(rows[0]) : null
}

/** Projects, threads and ids of runs: parameters of statements about many of them. */
export function keysOf(runs: readonly RunRecord[]): [projects: string[], threads: string[], ids: string[]] {
  return [
    runs.map(({ project_id }) => project_id),
    runs.map(({ thread_id }) => thread_id),
    runs.map(({ id }) => id),
  ]
}

/** The run with its number in the thread: what the run may see of the thread lies before it. */
export async function getRunRow(
  pool: pg.Pool,
  project: string,
  thread: string,
  id: string,
): Promise<RunRow | null> {
  const rows = await query<RunRow>(pool, 'get_run', selectText, [project, thread, id])
  return rows[0] ?? null
}

const activeText = `
select count(*)::int as count from (
  select from runs
  where project_id = $1 and status in ('queued', 'in_progress', 'requires_action', 'cancelling') and deadline >= 0
    and ($3::text is null or settings->>'key' = $3)
  limit $2
) active`

/**
 * How many runs of a project have not ended and do not wait for their thread, or of those the ones that a key has made; it is
 * counted up to `most`.
 */
export async function countActiveRuns(
  pool: pg.Pool,
  project: string,
  most: number,
  key: string | null,
): Promise<number> {
  const values = [project, most, key]
  const rows = await query<{ count: number }>(pool, 'count_active_runs', activeText, values)
  return rows[0]?.count ?? 0
}

export async function listRuns(
  pool: pg.Pool,
  project: string,
  thread: string,
  page: PageQuery,
): Promise<Page<RunRecord>> {
  const { rows, hasMore } = await readPage<RunRow>(pool, list, [project, thread], page)
  return { rows: rows.map(runOf), hasMore }
}

/** Applies `change` to the run's metadata under its row lock; null if there is no such run. */
export async function updateRunMetadata(
  pool: pg.Pool,
  project: string,
  thread: string,
  id: string,
  change: (metadata: Metadata) => Metadata,
  keeping: Keeping<RunRecord> = keepNothing,
): Promise<RunRecord | null> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<RunRow>(lockText, [project, thread, id])
    if (!rows[0]) return null
    const metadata = change(rows[0].metadata)
    await client.query(updateText, [project, thread, id, JSON.stringify(metadata)])
    const run = { ...runOf(rows[0]), metadata }
    await keepAnswer(client, keeping(run))
    return run
  })
}

/** Makes `node` the owner of up to `limit` queued runs that nobody owns and that are not due, the oldest first. */
export async function claimRuns(pool: pg.Pool, node: string, limit: number): Promise<RunRecord[]> {
  const rows = await query<RunRow>(pool, 'claim_runs', claimText, [node, limit])
  return rows.map(runOf)
}

/**
 * Active runs whose deadline has passed by the database's clock and that `node` is to expire: its own, those of nobody
 * or of a node that has not beaten for `silence` seconds, and any whose owner has not done so for `grace` seconds.
 */
export async function dueRuns(
  pool: pg.Pool,
  node: string,
  silence: number,
  grace: number,
  limit: number,
): Promise<RunRecord[]> {
  const rows = await query<RunRow>(pool, 'due_runs', dueText, [node, silence, grace, limit])
  return rows.map(runOf)
}

/** A run whose owner is gone. */
export interface Orphan {
  run: RunRecord
  /** In order: the owner has handed back all that it knew of. */
  ownerLeft: boolean
}

/**
 * Some of the runs owned by another node that has not beaten for `silence` seconds, in an order that is `node`'s own.
 */
export async function orphanedRuns(
  pool: pg.Pool,
  node: string,
  silence: number,
  limit: number,
): Promise<Orphan[]> {
  type Row = RunRow & { owner_left: boolean }
  const rows = await query<Row>(pool, 'orphaned_runs', orphanedText, [node, silence, limit])
  return rows.map((row) => ({ run: runOf(row), ownerLeft: row.owner_left }))
}

/** Runs that the database says this node owns. */
export async function ownedRuns(pool: pg.Pool, node: string): Promise<RunRecord[]> {
  const rows = await query<RunRow>(pool, 'owned_runs', ownedText, [node])
  return rows.map(runOf)
}
