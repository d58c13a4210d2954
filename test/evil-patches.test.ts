import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { evilPatches } from '../evil/patches.ts'

// `npm run evil` takes minutes and is run by people; that it can be run is looked at here.

const root = new URL('../', import.meta.url)

test('every evil patch still finds the one place that it changes, and the tests that are to notice it', () => {
  assert.ok(evilPatches.length >= 10)
  for (const { name, edits, tests } of evilPatches) {
    for (const { file, find, replace } of edits) {
      const places = readFileSync(new URL(file, root), 'utf8').split(find).length - 1
      assert.equal(places, 1, `"${name}" finds ${places} places in ${file}`)
      assert.notEqual(find, replace)
    }
    for (const file of tests) assert.ok(existsSync(new URL(file, root)), `"${name}" names ${file}`)
  }
})
