import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isLimitTooHigh } from './chat-body.ts'

test('a refusal of a limit that is too low is not taken for one that is too high', () => {
  const low =
    "Invalid 'max_completion_tokens': integer below minimum value. Expected a value >= 16, but got 3 instead."
  assert.equal(isLimitTooHigh(low), false)
  assert.equal(isLimitTooHigh('max_tokens is too large: 99999. This model supports at most 4096.'), true)
  assert.equal(isLimitTooHigh('Expected max_tokens <= 4096'), true)
})
