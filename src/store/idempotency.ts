import pg from 'pg'
import { query } from './pool.ts'

// The answers to requests with an Idempotency-Key (docs/decisions/0013). A write takes the answer along into its own
// transaction; the primary key of the table is what lets only one request with a key do anything.

/** Seconds for which an answer is kept. */
export const keptFor = 86_400

/** An answer, to be given again to the same request. */
export interface KeptAnswer {
  project_id: string
  key: string
  /** Names the request that was done, among all that came with the key. */
  stamp: number
  /** A hash of what was asked. */
  fingerprint: string
  status: number
  /** Those that are the answer's own. */
  headers: Record<string, string>
  /** Null for a stream. */
  body: string | null
  stream: KeptStream | null
}

/** Where the part of a run's life begins that a stream tells, and that ends where the run waits for outputs, or with it. */
export interface StreamStart {
  /** The first term of the run's log. */
  term: number
  /** How often the run had waited for outputs before: what counts when the log is not kept any more. */
  waits: number
  /** The thread was made with the run, and is told of first. Answers of older versions do not say it. */
  thread?: boolean
}

/** A stream of a run's events. */
export interface KeptStream extends StreamStart {
  thread_id: string
  run_id: string
}

/** Makes the answer to be kept of the record that is about to be written; null if the request has no key. */
export type Keeping<R> = (record: R) => KeptAnswer | null

/** For writes that answer no request with a key. */
export const keepNothing = (): null => null

const columns = 'project_id, key, stamp, fingerprint, status, headers, body, stream'

const insertText = `
insert into idempotency_keys (${columns}, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, floor(threadmill_now())::bigint)`

const insertAloneText = `${insertText} on conflict do nothing returning stamp`

const findText = `
select ${columns}, created_at <= floor(threadmill_now())::bigint - $3 as expired
from idempotency_keys where project_id = $1 and key = $2`

const freeText = `
delete from idempotency_keys
where project_id = $1 and key = $2 and created_at <= floor(threadmill_now())::bigint - $3`

// Nobody changes these rows, so they stay where they are; by their key the planner may take to walking all of them.
const purgeText = `
delete from idempotency_keys where ctid = any(array(
  select ctid from idempotency_keys where created_at <= floor(threadmill_now())::bigint - $1
  order by created_at limit $2 for update skip locked))
returning stamp`

function values(kept: KeptAnswer): unknown[] {
  const { project_id, key, stamp, fingerprint, status, headers, body, stream } = kept
  return [
    project_id,
    key,
    stamp,
    fingerprint,
    status,
    JSON.stringify(headers),
    body,
    stream && JSON.stringify(stream),
  ]
}

/** Keeps an answer in the transaction of its write. Throws what `isKeyTaken` knows if the key has one already. */
export async function keepAnswer(client: pg.ClientBase, kept: KeptAnswer | null): Promise<void> {
  if (kept === null) return
  await client.query({ name: 'keep_answer', text: insertText, values: values(kept) })
}

/** Keeps the answer of a request that wrote nothing. False if the key has one already. */
export async function keepAnswerAlone(pool: pg.Pool, kept: KeptAnswer): Promise<boolean> {
  return (await query(pool, 'keep_answer_alone', insertAloneText, values(kept))).length > 0
}

/** The answer that is kept under a key; null if there is none, or none any more: then the key is free again. */
export async function findKeptAnswer(
  pool: pg.Pool,
  project: string,
  key: string,
): Promise<KeptAnswer | null> {
  const where = [project, key, keptFor]
  const rows = await query<KeptAnswer & { expired: boolean }>(pool, 'find_kept_answer', findText, where)
  if (!rows[0]) return null
  const { expired, ...kept } = rows[0]
  if (!expired) return kept
  await query(pool, 'free_idempotency_key', freeText, where)
  return null
}

/** Removes up to `limit` answers whose time is over. Answers whether there were as many. */
export async function purgeKeptAnswers(pool: pg.Pool, limit: number): Promise<boolean> {
  return (await query(pool, 'purge_kept_answers', purgeText, [keptFor, limit])).length === limit
}

/** A request with this key had been done before the write was tried. */
export class KeyTaken extends Error {}

/** Whether a write was undone, or not tried, because another request with its key had been done. */
export function isKeyTaken(error: unknown): boolean {
  if (error instanceof KeyTaken) return true
  return error instanceof pg.DatabaseError && error.constraint === 'idempotency_keys_pkey'
}
