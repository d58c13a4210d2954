import { runLoad } from '../baseline-load.ts'
import type { Bench, Line, Subject } from '../bench.ts'
import { rssMiB } from '../processes.ts'
import { withDatabase, type ThreadmillServer } from '../servers.ts'

export const bloat: Line = {
  name: 'bloat',
  about: 'many runs in one go: what the tables, the speed and the memory are like before and after',
  own: true,
  async run(bench) {
    for (const subject of bench.subjects)
      await bench.withFresh(subject, (server) => drive(bench, subject, server))
  },
}

async function drive(bench: Bench, { name }: Subject, server: ThreadmillServer): Promise<void> {
  const { samples, options, mock } = bench
  const look = async (when: string) => {
    const load = await runLoad(server, mock.url, {
      phase: 'load',
      conc: 16,
      seconds: options.quick ? 0.5 : 10,
    })
    const record = (what: string, value: number) => samples.add(`${what} ${when}`, name, value)
    record('jobs/s, c=16,', load.per_s)
    record('job p50, c=16, ms', load.p50)
    record('job p99, c=16, ms', load.p99)
    record('RSS of Node MiB', rssMiB(server.pid))
    return load.ok
  }
  // Warm first: the beginning that is compared is not that of the compiler.
  await runLoad(server, mock.url, { phase: 'load', conc: 16, seconds: options.quick ? 0.5 : 10 })
  await look('at the start')
  const before = await sizes(server)
  const load = { phase: 'load', conc: 64, count: options.runs, seconds: options.quick ? 20 : 1_800 } as const
  const driven = await runLoad(server, mock.url, load)
  samples.add('runs driven', name, driven.ok)
  samples.add('jobs/s while driving, c=64', name, driven.per_s)
  samples.add('job p99 while driving, ms', name, driven.p99)
  const after = await sizes(server)
  for (const [table, end] of after) {
    const start = before.get(table)
    const more = end.rows - (start?.rows ?? 0) || 1
    samples.add(`${table}: bytes a row`, name, (end.heap - (start?.heap ?? 0)) / more)
    samples.add(`${table}: index bytes a row`, name, (end.indexes - (start?.indexes ?? 0)) / more)
    samples.add(`${table}: dead rows, %`, name, end.deadPercent)
    samples.add(`${table}: free space, %`, name, end.freePercent)
  }
  await look('at the end')
}

interface Size {
  rows: number
  heap: number
  indexes: number
  deadPercent: number
  freePercent: number
}

/** Of each table that runs are written to. pgstattuple reads the whole table, and comes with Postgres. */
function sizes(server: ThreadmillServer): Promise<Map<string, Size>> {
  return withDatabase(server, async (client) => {
    await client.query('create extension if not exists pgstattuple')
    const { rows } = await client.query<Size & { name: string }>(
      `select c.relname as name, p.tuple_count::float as rows, pg_table_size(c.oid)::float as heap,
        pg_indexes_size(c.oid)::float as indexes, p.dead_tuple_percent as "deadPercent", p.free_percent as "freePercent"
        from pg_class c cross join lateral pgstattuple(c.oid) p
        where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
          and c.relname in ('threads', 'messages', 'runs', 'run_steps', 'run_events') order by 1`,
    )
    return new Map(rows.map(({ name, ...size }) => [name, size]))
  })
}
