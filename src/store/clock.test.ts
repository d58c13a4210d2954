import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DbClock } from './clock.ts'

test('the clock follows readings of the database, forward and back, and runs on in between', () => {
  let ms = 5_000
  const clock = new DbClock(1_000, () => ms)
  assert.equal(clock.now(), 1_000)
  ms += 2_500
  assert.equal(clock.now(), 1_002)
  clock.sync(5_000, ms)
  assert.equal(clock.now(), 5_000)
  clock.sync(1_000, ms)
  assert.equal(clock.now(), 1_000)
})

test('a reading that was on its way for long moves the clock no further than it proves', () => {
  let ms = 0
  const clock = new DbClock(1_000, () => ms)
  // Asked, read at once, and answered to a process that slept for half a minute.
  ms = 30_000
  clock.sync(1_000, 0)
  assert.equal(clock.now(), 1_030)
  // The database stepped forward meanwhile: by a minute at least.
  clock.sync(1_090, 20_000)
  assert.equal(clock.now(), 1_090)
  // Or back.
  clock.sync(1_000, 20_000)
  assert.equal(clock.now(), 1_010)
})
