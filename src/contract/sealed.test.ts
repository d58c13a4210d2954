import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seal, sealingKey, unseal } from './sealed.ts'

const key = sealingKey('a key of at least 32 characters, at random')

test('a sealed secret opens with the same key and for the same use alone, and never looks the same', () => {
  const sealed = seal(key, 'sk-of-the-shop', 'shop')
  assert.equal(unseal(key, sealed, 'shop'), 'sk-of-the-shop')
  assert.equal(unseal(key, sealed, 'mill'), null)
  assert.equal(unseal(sealingKey('another key of at least 32 characters'), sealed, 'shop'), null)
  assert.notEqual(seal(key, 'sk-of-the-shop', 'shop'), sealed)
  assert.ok(!sealed.includes('shop') && !Buffer.from(sealed.slice(3), 'base64url').includes('shop'))
})

test('a sealed secret that was changed in any place, cut or never sealed does not open', () => {
  const sealed = seal(key, 'sk-of-the-shop', 'shop')
  for (let at = 0; at < sealed.length - 1; at++) {
    const other = sealed.charAt(at) === 'A' ? 'B' : 'A'
    assert.equal(unseal(key, sealed.slice(0, at) + other + sealed.slice(at + 1), 'shop'), null, String(at))
    assert.equal(unseal(key, sealed.slice(0, at), 'shop'), null)
  }
  for (const text of ['', 'v1.', 'sk-of-the-shop', 'v2.AAAA']) assert.equal(unseal(key, text, 'shop'), null)
})
