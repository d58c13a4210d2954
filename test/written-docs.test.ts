import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pages, written } from '../scripts/write-docs.ts'

for (const [path, page] of Object.entries(pages)) {
  test(`${path} says what the code says; npm run docs writes it anew`, async () => {
    assert.equal(await written(path), page())
  })
}
