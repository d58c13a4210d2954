import type pg from 'pg'
import type { PageQuery } from '../contract/paging.ts'
import type { RunRecord, StepRecord } from '../domain/records.ts'
import { readPage, type Page } from './page.ts'
import { query } from './pool.ts'
import { stepOf, type StepRow } from './rows.ts'
import { keysOf } from './runs.ts'
import { live } from './threads.ts'

const columns = `id, project_id, thread_id, run_id, assistant_id, seq, turn, status, details, prompt_tokens,
  completion_tokens, total_tokens, error, created_at, ended_at, expires_at`

const selectText = `
select ${columns} from run_steps where thread_id = $2 and id = $4 and project_id = $1 and run_id = $3
  ${live}`

const list = {
  name: 'list_steps',
  large: ['details', 'error'],
  text: `select ${columns} from run_steps
where project_id = $1 and thread_id = $2 and run_id = $3 and seq > $4 and seq < $5
  ${live}`,
  cursor: 'select seq from run_steps where project_id = $1 and thread_id = $2 and run_id = $3 and id = $4',
}

const ofRunText = `
select ${columns} from run_steps where project_id = $1 and thread_id = $2 and run_id = $3 order by seq`

export async function getStep(
  pool: pg.Pool,
  project: string,
  thread: string,
  runId: string,
  id: string,
): Promise<StepRecord | null> {
  const rows = await query<StepRow>(pool, 'get_step', selectText, [project, thread, runId, id])
  return rows[0] ? stepOf(rows[0]) : null
}

export async function listSteps(
  pool: pg.Pool,
  project: string,
  thread: string,
  runId: string,
  page: PageQuery,
): Promise<Page<StepRecord>> {
  const { rows, hasMore } = await readPage<StepRow>(pool, list, [project, thread, runId], page)
  return { rows: rows.map(stepOf), hasMore }
}

/** All steps of a run, in order. */
export async function stepsOfRun(
  pool: pg.Pool,
  project: string,
  thread: string,
  runId: string,
): Promise<StepRecord[]> {
  const rows = await query<StepRow>(pool, 'steps_of_run', ofRunText, [project, thread, runId])
  return rows.map(stepOf)
}

// One look at the index a run, whatever else is in the table.
const openText = `
select found.* from unnest($1::text[], $2::text[], $3::text[]) as of_run(project, thread, run),
  lateral (select ${columns} from run_steps
    where project_id = of_run.project and thread_id = of_run.thread and run_id = of_run.run and status = 'in_progress'
    order by seq) found`

/** What these runs have begun and not ended, in order within each run. */
export async function openStepsOfRuns(pool: pg.Pool, runs: readonly RunRecord[]): Promise<StepRecord[]> {
  const rows = await query<StepRow>(pool, 'open_steps_of_runs', openText, keysOf(runs))
  return rows.map(stepOf)
}

const callsText = `
select ${columns} from run_steps
where project_id = $1 and thread_id = $2 and run_id = any($3) and details ->> 'type' = 'tool_calls' order by seq`

/** The steps of these runs that called tools, in order within each run. */
export async function callStepsOfRuns(
  pool: pg.Pool,
  project: string,
  thread: string,
  runIds: readonly string[],
): Promise<StepRecord[]> {
  if (runIds.length === 0) return []
  const rows = await query<StepRow>(pool, 'call_steps_of_runs', callsText, [project, thread, runIds])
  return rows.map(stepOf)
}
