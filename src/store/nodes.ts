import type pg from 'pg'
import { query } from './pool.ts'

const beatText = `
insert into nodes (id, started_at, seen_at) values ($1, threadmill_now(), threadmill_now())
on conflict (id) do update set seen_at = excluded.seen_at
returning seen_at as now`

/** Says that `node` lives; answers the database's time in Unix seconds, with fractions. */
export async function beat(pool: pg.Pool, node: string): Promise<number> {
  const rows = await query<{ now: number }>(pool, 'beat', beatText, [node])
  return rows[0]?.now ?? Date.now() / 1000
}

/** Forgets a node that stops in order, and those that fell silent long ago (`silence` in seconds). */
export async function forgetNodes(pool: pg.Pool, node: string, silence: number): Promise<void> {
  await query(pool, 'forget_nodes', 'delete from nodes where id = $1 or seen_at < threadmill_now() - $2', [
    node,
    silence,
  ])
}

const othersText = 'select id from nodes where id <> $1 and seen_at > threadmill_now() - $2 limit 1'

/** Whether any other node has beaten within the last `silence` seconds. */
export async function hasOtherNodes(pool: pg.Pool, node: string, silence: number): Promise<boolean> {
  return (await query(pool, 'other_nodes', othersText, [node, silence])).length > 0
}
