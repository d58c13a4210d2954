import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Room } from './places.ts'

test('there are as many places as there is room, until some are freed, and each is freed once', () => {
  const room = new Room()
  assert.equal(room.take(1).count, 0)
  let freed = 0
  let running = 1
  room.open(
    () => 4 - running,
    () => (freed += 1),
  )
  const first = room.take(1)
  const rest = room.take(10)
  assert.deepEqual([first.count, rest.count, room.take(1).count], [1, 2, 0])
  // A run has come for the first place: it is counted where it runs.
  running += 1
  first.free()
  first.free()
  assert.equal(freed, 1)
  assert.equal(room.take(1).count, 0)
  rest.free()
  assert.equal(room.take(10).count, 2)
  running = 9
  assert.equal(room.take(1).count, 0)
})
