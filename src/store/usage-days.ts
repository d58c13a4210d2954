import type pg from 'pg'
import type { RunRecord } from '../domain/records.ts'
import { query } from './pool.ts'

// Tokens a day, of keys and projects that have a limit of them (sql/0013, docs/decisions/0024). The limits are in memory, where they
// come with the keys; what was used is in the database, in rows that no deletion of a thread touches.

/** Whose tokens they are. */
export interface Payer {
  project_id: string
  /** The id of a key; null where there is none. */
  key: string | null
}

/** A limit, and whose it is: `key key_...` or `project shop`. */
export interface TokenLimit {
  name: string
  ofKey: boolean
  most: number
}

/** What is added to the use of a day. */
export interface Charge {
  project_id: string
  key_id: string
  node_id: string
  tokens: number
}

/** What is left of a day's tokens. */
export interface TokensLeft extends TokenLimit {
  left: number
  /** Seconds until the day ends. */
  resetsIn: number
}

/** Ids with their tokens a day. */
export interface TokenLimitRows {
  keys: { id: string; most: number }[]
  projects: { id: string; most: number }[]
}

/** Who made a run, and so pays for it. */
export function payerOf({ project_id, settings }: RunRecord): Payer {
  return { project_id, key: settings.key ?? null }
}

const none: readonly TokenLimit[] = []

/** The limits of tokens a day that hold now. */
export class TokenLimits {
  #keys = new Map<string, number>()
  #projects = new Map<string, number>()

  replace({ keys, projects }: TokenLimitRows): void {
    this.#keys = new Map(keys.map(({ id, most }) => [id, most]))
    this.#projects = new Map(projects.map(({ id, most }) => [id, most]))
  }

  /** Those that hold for a payer: mostly none. */
  of({ project_id, key }: Payer): readonly TokenLimit[] {
    if (this.#keys.size === 0 && this.#projects.size === 0) return none
    const ofKey = key === null ? undefined : this.#keys.get(key)
    const ofProject = this.#projects.get(project_id)
    return [
      ...(ofKey === undefined ? [] : [{ name: `key ${key}`, ofKey: true, most: ofKey }]),
      ...(ofProject === undefined ? [] : [{ name: `project ${project_id}`, ofKey: false, most: ofProject }]),
    ]
  }

  /** What is to be noted of tokens that were used; null if nobody counts them. */
  charge(payer: Payer, node: string, tokens: number): Charge | null {
    if (tokens <= 0 || this.of(payer).length === 0) return null
    return { project_id: payer.project_id, key_id: payer.key ?? '', node_id: node, tokens }
  }

  /** The same of a run, from one state of it to the next. */
  chargeOf(run: RunRecord, next: RunRecord, node: string): Charge | null {
    if (this.#keys.size === 0 && this.#projects.size === 0) return null
    return this.charge(payerOf(run), node, next.state.usage.total_tokens - run.state.usage.total_tokens)
  }
}

/** The limits as they are stored: of keys that are not valid any more, too, since their runs may go on. */
export async function readTokenLimits(pool: pg.Pool): Promise<TokenLimitRows> {
  const [keys, projects] = await Promise.all([
    query<{ id: string; most: number }>(pool, 'token_limits_of_api_keys', limitsOfKeysText, []),
    query<{ id: string; most: number }>(pool, 'token_limits_of_projects', limitsOfProjectsText, []),
  ])
  return { keys, projects }
}

const limitsOfKeysText = `
select id, (limits->>'tokens_per_day')::bigint as most from api_keys where limits ? 'tokens_per_day'`
const limitsOfProjectsText = `
select id, (limits->>'tokens_per_day')::bigint as most from projects where limits ? 'tokens_per_day'`

const usedText = `
select coalesce(sum(tokens), 0)::bigint as of_project, coalesce(sum(tokens) filter (where key_id = $2), 0)::bigint as of_key,
  86400 - floor(threadmill_now())::bigint % 86400 as resets_in
from usage_days where day = floor(threadmill_now() / 86400)::int and project_id = $1`

/** What is left of the limit that leaves least. `more`: tokens that were used and are not noted yet. */
export async function tokensLeft(
  pool: pg.Pool,
  { project_id, key }: Payer,
  limits: readonly TokenLimit[],
  more = 0,
): Promise<TokensLeft | null> {
  const values = [project_id, key ?? '']
  const [row] = await query<{ of_project: number; of_key: number; resets_in: number }>(
    pool,
    'tokens_used',
    usedText,
    values,
  )
  let least: TokensLeft | null = null
  for (const limit of limits) {
    const used = (limit.ofKey ? row?.of_key : row?.of_project) ?? 0
    const left = Math.max(0, limit.most - used - more)
    if (!least || left < least.left) least = { ...limit, left, resetsIn: row?.resets_in ?? 86_400 }
  }
  return least
}

/** Says that nothing is left of a day's tokens, and when there will be. */
export function spentText({ name, most, resetsIn }: TokensLeft): string {
  const minutes = Math.ceil(resetsIn / 60)
  return `The ${name} may use ${most} tokens a day, and has used them. The next day begins in ${minutes} min, at 00:00 UTC.`
}

const chargeText = `
insert into usage_days (day, project_id, key_id, node_id, tokens)
values (floor(threadmill_now() / 86400)::int, $1, $2, $3, $4)
on conflict (day, project_id, key_id, node_id) do update set tokens = usage_days.tokens + excluded.tokens`

/** Notes tokens of a turn that comes to nothing, and is in no commit of its run. */
export async function chargeTokens(
  pool: pg.Pool,
  { project_id, key_id, node_id, tokens }: Charge,
): Promise<void> {
  await query(pool, 'charge_tokens', chargeText, [project_id, key_id, node_id, tokens])
}

// Yesterday's stay: a clock may be set back.
const forgetText = 'delete from usage_days where day < floor(threadmill_now() / 86400)::int - 1'

/** Removes what was used on days that are over. */
export async function forgetUsage(pool: pg.Pool): Promise<void> {
  await query(pool, 'forget_usage', forgetText, [])
}
