import pg from 'pg'

// What the store holds in the end, read from its tables.

export interface StoredThread {
  id: string
  marker: string | null
  active_run_id: string | null
  deleted: boolean
}

export interface StoredMessage {
  id: string
  thread_id: string
  run_id: string | null
  seq: number
  role: string
  status: string
  text: string
}

export interface StoredRun {
  id: string
  thread_id: string
  seq: number
  marker: string | null
  status: string
  error: string | null
  tokens: number
  deadline: number
  now: number
}

export interface StoredStep {
  id: string
  run_id: string
  turn: number
  status: string
  tokens: number | null
  error: string | null
}

export interface Dump {
  threads: StoredThread[]
  messages: StoredMessage[]
  runs: StoredRun[]
  steps: StoredStep[]
  /** Entries that wait for a thread. */
  waiting: number
}

export async function readDump(url: string): Promise<Dump> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const rows = async <R>(text: string) => (await client.query(text)).rows as R[]
  try {
    await client.query('begin isolation level repeatable read')
    const counted = await rows<{ n: number }>('select count(*)::int as n from thread_queue')
    return {
      threads: await rows(
        `select id, metadata->>'marker' as marker, active_run_id, deleted_at is not null as deleted from threads`,
      ),
      messages: await rows(
        `select id, thread_id, run_id, seq::float8 as seq, role, status, content->0->'text'->>'value' as text
         from messages order by thread_id, seq`,
      ),
      runs: await rows(
        `select id, thread_id, seq::float8 as seq, metadata->>'marker' as marker, status, error->>'message' as error,
         total_tokens::float8 as tokens, deadline::float8 as deadline, threadmill_now() as now from runs`,
      ),
      steps: await rows(
        `select id, run_id, turn, status, total_tokens::float8 as tokens, error->>'message' as error from run_steps`,
      ),
      waiting: counted[0]?.n ?? 0,
    }
  } finally {
    await client.end()
  }
}

/** What must hold at every moment, asked of one snapshot; answers what does not. */
export async function faultsNow(client: pg.Client): Promise<string[]> {
  const active = `status in ('queued', 'in_progress', 'requires_action', 'cancelling')`
  const { rows } = await client.query<{ fault: string }>(`
    select 'two runs hold ' || thread_id as fault from runs where ${active} group by thread_id having count(*) > 1
    union all
    select 'locked by a run that has ended: ' || t.id from threads t
      where active_run_id is not null and deleted_at is null and not exists (
        select from runs where runs.thread_id = t.id and runs.id = t.active_run_id and ${active})
    union all
    select 'a run without its lock: ' || r.id from runs r join threads t on t.id = r.thread_id
      where ${active.replace('status', 'r.status')} and t.deleted_at is null and t.active_run_id is distinct from r.id
    union all
    select 'waits for a free thread: ' || t.id from threads t
      where active_run_id is null and deleted_at is null and exists (select from thread_queue q where q.thread_id = t.id)`)
  return rows.map(({ fault }) => fault)
}
