import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Semaphore } from './semaphore.ts'

/** Asks for an amount, and writes down when it gets it. */
function asker(semaphore: Semaphore) {
  const begun: string[] = []
  const ask = (name: string, amount: number, signal?: AbortSignal) =>
    semaphore.acquire(amount, signal).then((giveBack) => {
      begun.push(name)
      return giveBack
    })
  return { begun, ask }
}

const settled = () => new Promise(setImmediate)

test('whoever comes when all is used waits for its turn, and a small one does not overtake a large one', async () => {
  const { begun, ask } = asker(new Semaphore(4))
  const first = await ask('first', 3)
  const large = ask('large', 4)
  const small = ask('small', 1)
  await settled()
  assert.deepEqual(begun, ['first'])
  first()
  first()
  const giveBack = await large
  await settled()
  assert.deepEqual(begun, ['first', 'large'])
  giveBack()
  await small
})

test('more than there is waits until nothing else is used, and then gets all', async () => {
  const { begun, ask } = asker(new Semaphore(4))
  const first = await ask('first', 1)
  const huge = ask('huge', 100)
  await settled()
  assert.deepEqual(begun, ['first'])
  first()
  const giveBack = await huge
  const next = ask('next', 1)
  await settled()
  assert.deepEqual(begun, ['first', 'huge'])
  giveBack()
  await next
})

test('whoever leaves while it waits uses nothing, and those behind it move up', async () => {
  const { begun, ask } = asker(new Semaphore(2))
  await ask('first', 1)
  const leaving = new AbortController()
  const left = ask('left', 2, leaving.signal)
  const small = ask('small', 1)
  leaving.abort(new Error('gone'))
  await assert.rejects(left, /gone/)
  await small
  assert.deepEqual(begun, ['first', 'small'])
  await assert.rejects(async () => ask('late', 1, leaving.signal), /gone/)
})
