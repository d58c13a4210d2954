import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cut, defaultAnswer, gate, status, text, toolCalls, type Answer } from './support/mock-model.ts'
import { startServer, tool } from './support/server.ts'

// Many clients that do everything at once, and a backend that does everything wrong: in the end nothing is stuck.

const server = await startServer({ env: { MAX_CONCURRENT_RUNS: '20' } })
const { client, mock, db } = server

/** A small generator of numbers, so that a failure can be repeated by its seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296
    return state / 4294967296
  }
}

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))
const next = random(seed)
const one = <T>(...choices: T[]): T => choices[Math.floor(next() * choices.length)] as T

const answers: Answer[] = [
  defaultAnswer,
  text('A', ' longer', ' answer', '.'),
  toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }], { text: 'Let me look.' }),
  toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]),
  text('Cut', { finish: 'length' }),
  cut('Half'),
  status(500),
  text('Until cancelled', gate().opened),
]

/** One client: runs, answers, cancels, adds messages and deletes, as it comes. Refusals are part of it. */
async function liveOn(thread: string, assistant: string): Promise<void> {
  const ignore = () => undefined
  for (let i = 0; i < 6; i++) {
    const runs = client.beta.threads.runs
    const create = () => runs.create(thread, { assistant_id: assistant }).catch(ignore)
    const created =
      next() < 0.5 ? await create() : (await Promise.all([create(), create(), create()])).find(Boolean)
    const run = created?.id ?? (await runs.list(thread).catch(ignore))?.data[0]?.id
    if (run === undefined) return
    const submit = () =>
      runs
        .submitToolOutputs(run, {
          thread_id: thread,
          tool_outputs: [{ tool_call_id: 'call_a', output: 'x' }],
        })
        .catch(ignore)
    const cancel = () => runs.cancel(run, { thread_id: thread }).catch(ignore)
    const say = () =>
      client.beta.threads.messages.create(thread, { role: 'user', content: 'x' }).catch(ignore)
    const act = (...choices: (() => Promise<unknown>)[]) => one(...choices)()
    await Promise.all([act(submit, cancel, say), act(submit, say), act(cancel, submit, say)])
    await submit()
    if (next() < 0.02) await client.beta.threads.delete(thread).catch(ignore)
    await cancel()
  }
}

test('after a mixed load of clients and failures no run is stuck and no thread is locked in vain', async (t) => {
  t.diagnostic(`rerun with SEED=${seed}`)
  mock.when(
    () => true,
    (exchange) => one(...answers)(exchange),
  )
  const assistant = await client.beta.assistants.create({ model: 'mock-model', tools: [tool('f')] })
  const threads = await Promise.all(
    Array.from({ length: 60 }, () =>
      client.beta.threads.create({ messages: [{ role: 'user', content: 'Go.' }] }),
    ),
  )
  await Promise.all(threads.map((thread) => liveOn(thread.id, assistant.id)))
  // Whatever is left is cancelled; then nothing may be active any more.
  const left = await db.sql<{ id: string; thread_id: string }>(
    `select id, thread_id from runs where ended_at is null`,
  )
  await Promise.all(
    left.map(({ id, thread_id }) =>
      client.beta.threads.runs.cancel(id, { thread_id }).catch(() => undefined),
    ),
  )
  await Promise.all(
    left.map(async ({ id, thread_id }) => {
      const run = await client.beta.threads.runs.poll(id, { thread_id })
      assert.ok(run.status !== 'requires_action' && run.status !== 'queued', `${id} is ${run.status}`)
    }),
  )
  assert.equal(server.app.engine.running, 0)
  const stuck = await db.sql(
    `select r.status, r.ended_at, t.active_run_id from runs r join threads t on t.id = r.thread_id
     where t.deleted_at is null and ((r.ended_at is null) <> (t.active_run_id = r.id) or r.ended_at is null
       or (r.ended_at is not null and r.owner_node is not null))`,
  )
  assert.deepEqual(stuck, [])
  const open = await db.sql(
    `select s.status, r.status as run from run_steps s join runs r on r.thread_id = s.thread_id and r.id = s.run_id
     where s.status = 'in_progress' union all
     select m.status, r.status from messages m join runs r on r.thread_id = m.thread_id and r.id = m.run_id
     where m.status = 'in_progress'`,
  )
  assert.deepEqual(open, [])
})
