import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { gate, text, toolCalls, type MockModel } from './mock-model.ts'
import { until } from './npm-start.ts'
import { OutageLoad } from './outage-load.ts'

// A database whose clock steps, under the load of servers that share it.

export const hour = 3_600

/** Seconds until a run expires here: longer than the clock steps forward at once. */
export const ttl = 2 * hour

interface Shared {
  urls: string[]
  mock: MockModel
  /** Moves the database's clock by so many seconds from now on. */
  step: (seconds: number) => Promise<void>
  /** Resolves when all servers know it. */
  known: () => Promise<void>
}

/**
 * Steps the clock forward by an hour, back, and back by another, with runs under way each time; then so far forward that what waits
 * for its client expires. No run may be lost, stuck or out of order, and none may expire but that one.
 */
export async function throughClockSteps({ urls, mock, step, known }: Shared): Promise<void> {
  const clients = urls.map((url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 }))
  const [first = assert.fail(), second = assert.fail()] = clients
  mock.when(() => true, text('Done.'))
  mock.when((body) => JSON.stringify(body).includes('ask me'), toolCalls([call]))
  const { id: assistant_id } = await first.beta.assistants.create({
    model: 'mock-model',
    tools: [{ type: 'function', function: { name: 'look' } }],
  })
  const asked = await first.beta.threads.createAndRunPoll({
    assistant_id,
    thread: { messages: [{ role: 'user', content: 'ask me' }] },
  })
  const statusOf = async ({ id, thread_id }: OpenAI.Beta.Threads.Run) =>
    (await second.beta.threads.runs.retrieve(id, { thread_id })).status
  assert.equal(await statusOf(asked), 'requires_action')

  const thread = await first.beta.threads.create()
  const load = new OutageLoad(urls)
  const steps = [hour, -hour, -hour]
  for (const [i, seconds] of steps.entries()) {
    await load.goesOn(6)
    const held = gate()
    mock.when((body) => !JSON.stringify(body).includes('ask me'), text('Done', held.opened, '.'))
    await load.goesOn(6)
    await first.beta.threads.messages.create(thread.id, { role: 'user', content: `question ${i}` })
    const run = await second.beta.threads.runs.create(thread.id, { assistant_id })
    await step(seconds)
    await known()
    held.open()
    mock.when((body) => !JSON.stringify(body).includes('ask me'), text('Done.'))
    const ended = await first.beta.threads.runs.poll(run.id, { thread_id: thread.id })
    assert.equal(ended.status, 'completed', ended.last_error?.message)
    assert.equal(await statusOf(asked), 'requires_action')
  }
  await load.goesOn(6)
  await load.stop()
  await load.check()
  assert.deepEqual(load.readiness, [200])
  assert.deepEqual([...new Set(load.answers.map(({ status }) => status))], [200])
  const messages = await second.beta.threads.messages.list(thread.id, { order: 'asc', limit: 100 })
  const told = messages.data.map(({ content: [part] }) => (part?.type === 'text' ? part.text.value : ''))
  assert.deepEqual(
    told,
    steps.flatMap((_, i) => [`question ${i}`, 'Done.']),
  )

  await step(ttl + 2 * hour)
  await until(async () => (await statusOf(asked)) === 'expired', 'what waits for its client expires')
  for (const { beta } of clients) {
    const run = await beta.threads.createAndRunPoll({ assistant_id })
    assert.equal(run.status, 'completed', run.last_error?.message)
  }
}

const call = { id: 'call_a', name: 'look', arguments: '{}' }
