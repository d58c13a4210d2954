import type pg from 'pg'
import { query } from './pool.ts'

// A beat from the future was made before the database's clock stepped back. It counts as one of now: a node that lives beats again
// at once, and one that is dead must not seem to live until then.
const beatText = `
with early as (
  update nodes set seen_at = threadmill_now() where id <> $1 and seen_at > threadmill_now() + $2
)
insert into nodes (id, started_at, seen_at) values ($1, threadmill_now(), threadmill_now())
on conflict (id) do update set seen_at = excluded.seen_at
returning seen_at as now,
  array(select id from nodes other where other.id <> $1 and other.seen_at <= threadmill_now() - $2) as silent`

/**
 * Says that `node` lives; answers the database's time in Unix seconds, with fractions, and the nodes that have not said so
 * for `silence` seconds.
 */
export async function beat(
  pool: pg.Pool,
  node: string,
  silence: number,
): Promise<{ now: number; silent: string[] }> {
  const [row] = await query<{ now: number; silent: string[] }>(pool, 'beat', beatText, [node, silence])
  return row ?? { now: Date.now() / 1000, silent: [] }
}

/** Counts all other nodes as silent: whoever calls this knows that they are dead. Their runs are taken over at once. */
export async function silenceOthers(pool: pg.Pool, node: string): Promise<void> {
  await query(pool, 'silence_others', 'update nodes set seen_at = 0 where id <> $1', [node])
}

// While a run names it, a node must be seen to have died: a run of one that left in order has lost nothing. `limit 1` instead of
// `exists`, which may be planned as a hash of all runs.
const forgetText = `
delete from nodes where id = $1
  or (seen_at < threadmill_now() - $2 and (select id from runs where owner_node = nodes.id limit 1) is null)`

/** Forgets a node that stops in order, if any, and those that fell silent long ago (`silence` in seconds) and have no runs. */
export async function forgetNodes(pool: pg.Pool, node: string | null, silence: number): Promise<void> {
  await query(pool, 'forget_nodes', forgetText, [node, silence])
}

const othersText = 'select id from nodes where id <> $1 and seen_at > threadmill_now() - $2 limit 1'

/** Whether any other node has beaten within the last `silence` seconds. */
export async function hasOtherNodes(pool: pg.Pool, node: string, silence: number): Promise<boolean> {
  return (await query(pool, 'other_nodes', othersText, [node, silence])).length > 0
}

const firstText =
  'select not exists (select from nodes where id < $1 and seen_at > threadmill_now() - $2) as first'

/** Whether this is the one of the nodes that live which does what only one has to do. */
export async function isFirstNode(pool: pg.Pool, node: string, silence: number): Promise<boolean> {
  const [row] = await query<{ first: boolean }>(pool, 'first_node', firstText, [node, silence])
  return row?.first ?? false
}
