import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AssistantRecord } from '../domain/records.ts'
import { RecentAssistants } from './recent-assistants.ts'

const named = (name: string) => ({ id: 'asst_a', project_id: 'default', name }) as AssistantRecord

/** Reads through `recent` what `stored` holds; answers the name, and whether the store was asked. */
async function readOf(recent: RecentAssistants, stored: AssistantRecord | null, project = 'default') {
  let asked = false
  const found = await recent.read(project, 'asst_a', async () => {
    asked = true
    return stored
  })
  return { name: found?.name ?? null, asked }
}

test('an assistant that was read is not read again', async () => {
  const recent = new RecentAssistants()
  assert.deepEqual(await readOf(recent, named('old')), { name: 'old', asked: true })
  assert.deepEqual(await readOf(recent, named('other')), { name: 'old', asked: false })
})

test('an assistant that is large is not kept, so that many of them do not fill the memory', async () => {
  const recent = new RecentAssistants()
  const large = { ...named('large'), instructions: 'x'.repeat(70_000) }
  assert.deepEqual(await readOf(recent, large), { name: 'large', asked: true })
  assert.deepEqual(await readOf(recent, named('other')), { name: 'other', asked: true })
})

test('an assistant that was changed or deleted is read again', async () => {
  const recent = new RecentAssistants()
  await readOf(recent, named('old'))
  await recent.change('asst_a', async () => {})
  assert.deepEqual(await readOf(recent, named('new')), { name: 'new', asked: true })
  await recent.change('asst_a', async () => {})
  assert.deepEqual(await readOf(recent, null), { name: null, asked: true })
})

test('what was read before a change and heard of behind it is not kept', async () => {
  const recent = new RecentAssistants()
  const { promise: late, resolve } = Promise.withResolvers<AssistantRecord>()
  const reading = recent.read('default', 'asst_a', () => late)
  await recent.change('asst_a', async () => {})
  resolve(named('old'))
  assert.equal((await reading)?.name, 'old')
  assert.deepEqual(await readOf(recent, named('new')), { name: 'new', asked: true })
})

test('an assistant whose change may be committed later is read each time', async () => {
  const recent = new RecentAssistants()
  await readOf(recent, named('old'))
  await assert.rejects(recent.change('asst_a', () => Promise.reject(new Error('connection lost'))))
  assert.deepEqual(await readOf(recent, named('old')), { name: 'old', asked: true })
  assert.deepEqual(await readOf(recent, named('new')), { name: 'new', asked: true })
})

test('an assistant is kept for its own project alone', async () => {
  const recent = new RecentAssistants()
  await readOf(recent, named('old'))
  assert.deepEqual(await readOf(recent, null, 'another'), { name: null, asked: true })
})
