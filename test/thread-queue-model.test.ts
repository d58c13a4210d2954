import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { newRunState } from '../src/domain/run.ts'
import { createLog } from '../src/log.ts'
import { enterThread } from '../src/store/enter-thread.ts'
import { applyRunEvent } from '../src/store/run-writes.ts'
import { openStore } from '../src/store/store.ts'
import { atEnd, createDatabase } from './support/database.ts'
import { keyOf, newMessage, newRun, newThread, now, project_id } from './support/records.ts'

// Random histories of a thread - what comes under queue, what ends, what is cancelled while it waits - beside a model of
// a few lines: after each step the thread must be as the model says.

const db = await createDatabase()
const store = await openStore({ connection: { connectionString: db.url }, log: createLog('silent') })
atEnd(async () => {
  await store.close()
  await db.drop()
})

type Step =
  | { kind: 'message' }
  | { kind: 'run'; messages: number }
  | { kind: 'end' }
  /** Cancels one of those that wait. */
  | { kind: 'withdraw'; which: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: 'message' } as const) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('run' as const), messages: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'end' } as const) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), which: fc.nat(5) }) },
)

/** A thread as it should be. Messages are texts, runs ids. */
class Model {
  holder: string | null = null
  /** Messages, and runs where they got the thread or ended, in order. */
  placed: string[] = []
  waiting: { run: string | null; texts: string[] }[] = []
  ended = new Set<string>()

  come(run: string | null, texts: string[]): void {
    if (this.holder !== null) this.waiting.push({ run, texts })
    else this.#place(run, texts)
  }

  end(): void {
    if (this.holder !== null) this.ended.add(this.holder)
    this.holder = null
    while (this.holder === null) {
      const next = this.waiting.shift()
      if (!next) return
      this.#place(next.run, next.texts)
    }
  }

  withdraw(run: string): void {
    this.ended.add(run)
    this.placed.push(run)
    for (const each of this.waiting) if (each.run === run) each.run = null
    this.waiting = this.waiting.filter((each) => each.run !== null || each.texts.length > 0)
  }

  #place(run: string | null, texts: string[]): void {
    this.placed.push(...texts, ...(run === null ? [] : [run]))
    this.holder = run
  }
}

async function liveThrough(steps: Step[]): Promise<void> {
  const thread = newThread()
  const key = keyOf(thread.id)
  await store.write({ kind: 'create_thread', thread, messages: [] })
  const model = new Model()
  let said = 0
  const messages = (count: number) =>
    Array.from({ length: count }, () => newMessage(thread.id, `m${(said += 1)}`))
  const cancel = (id: string) =>
    applyRunEvent(store, { project_id, thread_id: thread.id, id }, () => ({ event: { type: 'cancel', now } }))
  for (const each of steps) {
    const waiting = model.waiting.flatMap(({ run }) => run ?? [])
    if (each.kind === 'message') {
      const write = { kind: 'append' as const, thread: key, messages: messages(1) }
      model.come(null, [`m${said}`])
      assert.equal((await enterThread(store, write, () => 'queue')).outcome, 'ok')
    } else if (each.kind === 'run') {
      const run = { ...newRun(thread.id), state: newRunState(null, now + 600) }
      const first = said + 1
      const write = { kind: 'create_run' as const, thread: key, messages: messages(each.messages), run }
      const texts = write.messages.map((_, i) => `m${first + i}`)
      model.come(run.id, texts)
      assert.equal((await enterThread(store, write, () => 'queue')).outcome, 'ok')
    } else if (each.kind === 'end' && model.holder !== null) {
      const { holder } = model
      model.end()
      assert.equal((await cancel(holder)).kind, 'applied')
    } else if (each.kind === 'withdraw' && waiting.length > 0) {
      const run = waiting[each.which % waiting.length] as string
      model.withdraw(run)
      assert.equal((await cancel(run)).kind, 'applied')
    }
    await compare(thread.id, model)
  }
}

async function compare(thread: string, model: Model): Promise<void> {
  const placed = await db.sql<{ what: string }>(
    `select content -> 0 -> 'text' ->> 'value' as what, seq from messages where thread_id = $1
      union all select id, seq from runs where thread_id = $1 and status <> 'waiting' order by seq`,
    [thread],
  )
  assert.deepEqual(
    placed.map(({ what }) => what),
    model.placed,
  )
  const [row] = await db.sql('select active_run_id as holder, waiting from threads where id = $1', [thread])
  assert.deepEqual(row, { holder: model.holder, waiting: model.waiting.length })
  const runs = await db.sql<{ id: string; status: string }>(
    'select id, status from runs where thread_id = $1 order by seq',
    [thread],
  )
  const expected = model.placed
    .filter((what) => what.startsWith('run_'))
    .map((id) => ({
      id,
      status: model.ended.has(id) ? 'cancelled' : 'queued',
    }))
  const waiting = model.waiting.flatMap(({ run }) => (run === null ? [] : { id: run, status: 'waiting' }))
  assert.deepEqual(runs, [...expected, ...waiting])
}

test('whatever comes, ends and is cancelled in whatever order, a thread goes on in the order of acceptance', async () => {
  const histories = fc.asyncProperty(fc.array(step, { maxLength: 30, size: 'max' }), liveThrough)
  const seed = process.env['FC_SEED']
  await fc.assert(histories, { numRuns: 40, ...(seed ? { seed: Number(seed) } : {}) })
})
