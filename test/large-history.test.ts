import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newestMessages } from '../src/store/messages.ts'
import { keyOf, newMessage, newThread, project_id } from './support/records.ts'
import { startServer } from './support/server.ts'

// A thread may hold messages of many megabytes each: a run reads no more of them at a time than it has room for.

const server = await startServer()
const { store } = server.app

async function threadOf(...texts: string[]): Promise<string> {
  const thread = newThread()
  await store.write({ kind: 'create_thread', thread, messages: [] })
  for (const text of texts)
    await store.write({ kind: 'append', thread: keyOf(thread.id), messages: [newMessage(thread.id, text)] })
  return thread.id
}

/** A text that cannot be made shorter by packing it. */
const noise = (characters: number) =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)))
    .toString('base64')
    .repeat(Math.ceil(characters / 80_000))
    .slice(0, characters)

async function pages(thread: string, limit: number): Promise<number[]> {
  const sizes: number[] = []
  for (let before = Number.MAX_SAFE_INTEGER, more = true; more;) {
    const page = await newestMessages(store, project_id, thread, before, limit)
    sizes.push(page.messages.length)
    before = page.messages.at(-1)?.seq ?? 0
    more = page.more && page.messages.length > 0
  }
  return sizes
}

test('a page of history holds few messages when they are large, one at least, and all are read in the end', async () => {
  const large = Array.from({ length: 9 }, () => noise(1_500_000))
  assert.deepEqual(await pages(await threadOf('x', ...large, 'y'), 100), [3, 2, 2, 2, 2])
  assert.deepEqual(await pages(await threadOf(noise(6_000_000), noise(6_000_000)), 100), [1, 1])
  const packed = 'A'.repeat(3_000_000)
  assert.ok((await pages(await threadOf(...Array.from({ length: 30 }, () => packed)), 100)).length > 1)
})

test('a page of small messages is as long as was asked for, and the last one says that it is', async () => {
  const thread = await threadOf(...Array.from({ length: 25 }, (_, i) => `message ${i}`))
  assert.deepEqual(await pages(thread, 100), [25])
  assert.deepEqual(await pages(thread, 10), [10, 10, 5])
})
