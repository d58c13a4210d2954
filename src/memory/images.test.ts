import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MessageRecord } from '../domain/records.ts'
import type { ChatMessage } from '../models/model.ts'
import type { Store } from '../store/store.ts'
import { droppingImages, loadImages } from './images.ts'

const mebibyte = 1024 * 1024

/** A message with an image of its own. */
function message(mebibytes: number): MessageRecord {
  const url = `data:image/png;base64,${'A'.repeat(mebibytes * mebibyte)}`
  return {
    id: 'msg_x',
    project_id: 'default',
    thread_id: 'thread_x',
    role: 'user',
    status: 'completed',
    content: [{ type: 'image_url', image_url: { url } }],
    assistant_id: null,
    run_id: null,
    attachments: [],
    metadata: {},
    created_at: 0,
    ended_at: null,
    incomplete_reason: null,
  }
}

// Images within messages are read from nowhere.
const load = (mebibytes: number, signal = new AbortController().signal) =>
  loadImages({} as Store, 'default', [message(mebibytes)], signal)

test('the images of all runs together wait until there is room, and those who leave do not take it', async () => {
  const first = [await load(40), await load(40), await load(40)]
  let loaded = 0
  const leaving = new AbortController()
  const left = load(40, leaving.signal)
  const next = load(40).then((images) => {
    loaded += 1
    return images
  })
  await new Promise(setImmediate)
  assert.equal(loaded, 0)
  leaving.abort()
  assert.equal((await left).shown.size, 0)
  first[1]?.free()
  const last = await next
  assert.equal(last.shown.size, 1)
  for (const { free } of [...first, last]) free()
})

test('a request that was sent holds its images no longer, and gives their room back once', () => {
  const remote = { type: 'image_url' as const, image_url: { url: 'https://example.com/cat.png' } }
  const inline = {
    type: 'image_url' as const,
    image_url: { url: 'data:image/png;base64,AAAA', detail: 'low' },
  }
  const messages: ChatMessage[] = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: [remote, inline] },
  ]
  let freed = 0
  const sent = droppingImages(messages, () => (freed += 1))
  sent()
  sent()
  assert.equal(freed, 1)
  assert.deepEqual(messages[1], {
    role: 'user',
    content: [remote, { type: 'image_url', image_url: { url: 'data:', detail: 'low' } }],
  })
})
