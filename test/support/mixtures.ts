import assert from 'node:assert/strict'
import type pg from 'pg'
import {
  commitThreadWrites,
  written,
  type Advance,
  type ThreadKey,
  type ThreadWrite,
} from '../../src/store/thread-write.ts'
import { advance, keyOf, newMessage, newRun, newStep, newThread, now } from './records.ts'

/** Commits writes of several kinds in one statement, as they go out under load. */
export async function commitMixtures(pool: pg.Pool): Promise<void> {
  const commit = async (...batch: ThreadWrite[]) => {
    for (const { outcome } of await commitThreadWrites(pool, batch)) assert.equal(outcome, 'ok')
  }
  const create = (thread = newThread()): ThreadWrite => ({ kind: 'create_thread', thread, messages: [] })
  const append = (thread: ThreadKey): ThreadWrite => ({
    kind: 'append',
    thread,
    messages: [newMessage(thread.id)],
  })
  const createRun = (run: ReturnType<typeof newRun>, turn?: Advance): ThreadWrite => ({
    kind: 'create_run',
    thread: keyOf(run.thread_id),
    messages: [],
    run,
    ...(turn ? { turn } : {}),
  })
  const made = [newThread(), newThread(), newThread()] as const
  await commit(...made.map((thread) => create(thread)))
  const [said, ran, waited] = made
  const [run, other] = [newRun(ran.id), newRun(waited.id)]
  const end = { type: 'abandon', now } as const
  const rows = written({ newMessages: [newMessage(ran.id)], newSteps: [newStep(run, 'x')] })
  await commit(create(), append(keyOf(said.id)), createRun(run, advance(run, end, rows)), createRun(other))
  await commit(create(), append(keyOf(said.id)), createRun(newRun(ran.id)), advance(other, end))
}
