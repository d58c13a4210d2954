import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { runLoad } from '../baseline-load.ts'
import type { Bench, Line, Subject } from '../bench.ts'
import { summarise, type CpuProfile, type SelfTime } from '../cpu-profile.ts'
import { withDatabase, type ThreadmillServer } from '../servers.ts'

export const profile: Line = {
  name: 'profile',
  about: 'where the CPU of a run goes, in Node and in Postgres',
  own: true,
  async run(bench) {
    for (const subject of bench.subjects) {
      for (const conc of bench.options.quick ? [16] : [1, 16, 64]) await profileAt(bench, subject, conc)
    }
  },
}

async function profileAt(bench: Bench, subject: Subject, conc: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'threadmill-bench-profile-'))
  const nodeArgs = ['--cpu-prof', '--cpu-prof-interval', '500', '--cpu-prof-dir', folder]
  let window = { from: 0, to: 0, jobs: 0 }
  await bench.withFresh(subject, async (server) => (window = await load(bench, server, conc)), { nodeArgs })
  // The start before the one with statistics left a profile too: the last is meant.
  const files = await Promise.all(
    (await readdir(folder)).map(
      async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as CpuProfile,
    ),
  )
  const last = files.toSorted((a, b) => a.startTime - b.startTime).at(-1)
  await rm(folder, { recursive: true, force: true })
  if (!last) throw new Error('the server left no profile')
  const { functions, owners, behalf, busyMs, idlePercent } = summarise(last, window.from, window.to)
  console.log(
    `\n  Node at c=${conc}: busy ${(busyMs / window.jobs).toFixed(2)} ms a job, idle ${idlePercent.toFixed(0)} %`,
  )
  const print = (times: SelfTime[], most: number) => {
    for (const { what, percent, ms } of times.slice(0, most)) {
      console.log(`  ${percent.toFixed(1).padStart(5)} %  ${(ms / window.jobs).toFixed(3)} ms a job  ${what}`)
    }
  }
  console.log('  on whose behalf')
  print(behalf, 15)
  console.log('  by owner')
  print(owners, 15)
  console.log('  by function')
  print(functions, 25)
}

interface Window {
  /** Milliseconds of the monotonic clock. */
  from: number
  to: number
  jobs: number
}

const now = () => Number(process.hrtime.bigint() / 1_000_000n)

async function load(
  { mock, options, samples }: Bench,
  server: ThreadmillServer,
  conc: number,
): Promise<Window> {
  await withDatabase(server, (client) =>
    client.query("alter system set shared_preload_libraries = 'pg_stat_statements'"),
  )
  await withDatabase(server, (client) =>
    client.query("alter system set pg_stat_statements.track_planning = 'on'"),
  )
  await server.restart()
  const seconds = options.quick ? 0.5 : Math.max(8, options.seconds)
  await runLoad(server, mock.url, { phase: 'load', conc, seconds: options.quick ? 0.2 : 4 })
  return withDatabase(server, async (client) => {
    await client.query('create extension pg_stat_statements')
    await client.query('create extension pg_walinspect')
    const before = await walEnd(client)
    await client.query('select pg_stat_statements_reset()')
    const from = now()
    const { ok, cpu_ms_per_run, nodeShare } = await runLoad(server, mock.url, {
      phase: 'load',
      conc,
      seconds,
    })
    const to = now()
    // The warm-up of the load counts.
    const jobs = ok + 40
    const cpu = cpu_ms_per_run ?? NaN
    console.log(
      `\n  c=${conc}: ${ok} jobs, CPU ms a job: Node ${(cpu * nodeShare).toFixed(2)}, Postgres ${(cpu * (1 - nodeShare)).toFixed(2)}`,
    )
    await printStatements(client, jobs, (calls) =>
      samples.add(`statements a job, c=${conc}`, server.name, calls),
    )
    samples.add(`WAL bytes a job, c=${conc}`, server.name, await printWal(client, before, jobs))
    return { from, to, jobs }
  })
}

async function walEnd(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn')
  return rows[0]?.lsn ?? ''
}

/** What was written to the WAL since `before`, by kind of record; returns the bytes a job. */
async function printWal(client: pg.Client, before: string, jobs: number): Promise<number> {
  const { rows } = await client.query<{ name: string; count: number; bytes: number; images: number }>(
    `select "resource_manager/record_type" as name, count::float, combined_size::float as bytes,
      fpi_size::float as images from pg_get_wal_stats($1::pg_lsn, pg_current_wal_flush_lsn(), true)
      where count > 0 order by combined_size desc`,
    [before],
  )
  console.log('  WAL, each a job: records, bytes, of these page images')
  for (const { name, count, bytes, images } of rows.slice(0, 12)) {
    const each = [count, bytes, images].map((sum) => (sum / jobs).toFixed(2).padStart(8))
    console.log(`  ${each.join(' ')}  ${name}`)
  }
  return rows.reduce((sum, { bytes }) => sum + bytes, 0) / jobs
}

async function printStatements(
  client: pg.Client,
  jobs: number,
  total: (calls: number) => void,
): Promise<void> {
  const { rows } = await client.query<
    Record<'calls' | 'ms' | 'planning' | 'rows' | 'wal' | 'records' | 'images', number> & { query: string }
  >(
    `select calls::float, total_exec_time as ms, rows::float, wal_bytes::float as wal,
      total_plan_time as planning, wal_records::float as records, wal_fpi::float as images,
      regexp_replace(query, '\\s+', ' ', 'g') as query
      from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())
      order by total_exec_time desc`,
  )
  total(rows.reduce((sum, { calls }) => sum + calls, 0) / jobs)
  console.log(
    '  Postgres, each a job: calls, ms in execution, ms in planning, rows; WAL records, page images, bytes',
  )
  for (const { calls, ms, planning, rows: found, wal, records, images, query } of rows.slice(0, 10)) {
    const each = [calls, ms, planning, found, records, images].map((sum) =>
      (sum / jobs).toFixed(3).padStart(7),
    )
    console.log(`  ${each.join(' ')} ${(wal / jobs).toFixed(0).padStart(6)}  ${query.slice(0, 90)}`)
  }
}
