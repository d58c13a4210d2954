import type { ObservedRun } from './real-database.ts'

const ended = new Set(['completed', 'failed', 'incomplete', 'cancelled', 'expired'])
const owned = new Set(['in_progress', 'cancelling'])
const canBeOwned = new Set(['queued', ...owned])

const isActive = ({ status }: ObservedRun) => !ended.has(status) && status !== 'waiting'

/** What may follow a status in one commit (SPEC.md); written down once more, so that the table is not its own judge. */
const followers: Record<string, string[]> = {
  // For its thread; shown as queued.
  waiting: ['queued', 'cancelled'],
  queued: [
    'queued',
    'in_progress',
    'requires_action',
    'completed',
    'incomplete',
    'failed',
    'cancelling',
    'cancelled',
    'expired',
  ],
  in_progress: [
    'in_progress',
    'queued',
    'requires_action',
    'completed',
    'incomplete',
    'failed',
    'cancelling',
    'cancelled',
    'expired',
  ],
  requires_action: ['queued', 'cancelled', 'expired'],
  cancelling: ['cancelled'],
}

/** What only the owner of a run does to it. */
const byOwner = new Set(['in_progress', 'requires_action', 'completed', 'incomplete'])

/** Looks at the rows after each write: what must hold between any two commits. */
export class Watch {
  readonly #fail: (text: string) => never
  #last = new Map<string, ObservedRun>()
  /** The statuses that each run had, and from which step on. */
  readonly lives = new Map<string, { step: number; status: string; turns: number }[]>()

  constructor(fail: (text: string) => never) {
    this.#fail = fail
  }

  hasEnded(run: string): boolean {
    return ended.has(this.lives.get(run)?.at(-1)?.status ?? '')
  }

  /** `writer` has just written. */
  observe(runs: ObservedRun[], writer: string, step: number): void {
    const holders = new Map<string, string[]>()
    for (const run of runs) {
      this.#alone(run)
      this.#remember(run, step)
      const before = this.#last.get(run.id)
      if (before) this.#changed(before, run, writer)
      if (isActive(run)) holders.set(run.thread_id, [...(holders.get(run.thread_id) ?? []), run.id])
    }
    for (const [thread, ids] of holders)
      if (ids.length > 1) this.#fail(`thread ${thread} has ${ids.length} active runs (I2)`)
    this.#last = new Map(runs.map((run) => [run.id, run]))
  }

  #alone(run: ObservedRun): void {
    const holds = run.holder === run.id
    if (isActive(run) !== holds)
      this.#fail(`run ${run.id} is ${run.status} and ${holds ? 'holds' : 'does not hold'} its thread (I3)`)
    if (run.waiting > 0 && run.holder === null && !run.deleted)
      this.#fail(`thread ${run.thread_id} is free, and ${run.waiting} wait for it (I6)`)
    if (owned.has(run.status) && run.owner === null) this.#fail(`run ${run.id} is ${run.status} and nobody's`)
    if (!canBeOwned.has(run.status) && run.owner !== null)
      this.#fail(`run ${run.id} is ${run.status} and has an owner`)
  }

  #remember({ id, status, turns }: ObservedRun, step: number): void {
    const life = this.lives.get(id) ?? []
    const last = life.at(-1)
    if (last?.status !== status || last.turns !== turns)
      this.lives.set(id, [...life, { step, status, turns }])
  }

  #changed(before: ObservedRun, run: ObservedRun, writer: string): void {
    const what = `run ${run.id} went from ${before.status} v${before.version} to ${run.status} v${run.version}`
    if (run.version < before.version || run.epoch < before.epoch) this.#fail(`${what}: backwards`)
    if (run.version === before.version) {
      if (run.status !== before.status || run.owner !== before.owner || run.epoch !== before.epoch)
        this.#fail(`${what} without a new version`)
      return
    }
    // The start of a turn may go with its first commit (docs/decisions/0018).
    const most = before.status === 'queued' ? 2 : 1
    if (run.version > before.version + most) this.#fail(`${what}: too many versions in one commit`)
    if (ended.has(before.status)) this.#fail(`${what} although it had ended (I1)`)
    if (!followers[before.status]?.includes(run.status))
      this.#fail(`${what}, which the table does not know (I9)`)
    if (run.turns < before.turns) this.#fail(`${what} and lost a turn`)
    if (byOwner.has(run.status) && before.owner !== writer)
      this.#fail(`${what} by ${writer}, who does not own it: ${before.owner} does (I4)`)
  }
}
