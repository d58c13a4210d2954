import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NodeLease } from './node-lease.ts'

test('a node holds its lease from its first beat for four fifths of the silence', () => {
  let ms = 100_000
  const lease = new NodeLease(() => ms, 5)
  assert.equal(lease.held, false)
  lease.renew(ms)
  ms += 3_999
  assert.equal(lease.held, true)
  assert.equal(lease.leftMs, 1)
  ms += 1
  assert.equal(lease.held, false)
})

test('a beat counts from when it was sent, and an early one that is answered late takes nothing away', () => {
  let ms = 0
  const lease = new NodeLease(() => ms, 5)
  ms = 30_000
  // Answered to a process that slept.
  lease.renew(0)
  assert.equal(lease.held, false)
  lease.renew(29_000)
  lease.renew(27_000)
  assert.equal(lease.leftMs, 3_000)
})
