import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startWorld } from './example-world.ts'
import { examplesOf, filledIn, methodOf, none } from './example.ts'
import { clientRoot, installClient, run } from './installed-client.ts'

// Every example of every page, run by Node as a program of its own against a live server: those of the page that the
// client was made after, and those of its own pages. Only ids, cursors, request objects and the address are put in.

const world = await startWorld()
const project = installClient()
const { port } = new URL(world.server.app.url)
const basePath = `http://memgpt.localhost:${port}`

const seedPage = readFileSync(fileURLToPath(new URL('../fixtures/seed-runs-api.md', import.meta.url)), 'utf8')
const seedExamples = examplesOf(seedPage)

test('the seed page has nine examples, of nine methods', () => {
  assert.equal(seedExamples.length, 9)
  assert.equal(new Set(seedExamples.map(methodOf)).size, 9)
  assert.equal(seedExamples.filter((example) => example.includes(`'order': "'asc'"`)).length, 2)
})

for (const example of seedExamples) {
  const method = methodOf(example)
  test(`the seed's example of ${method} runs as printed`, async () => {
    const text = filledIn(example, basePath, await world.substitutes(method))
    assert.match(await run(project, text), /^API called successfully\. Returned data: /)
  })
}

/** Our own pages with examples. */
const pages = readdirSync(join(clientRoot, 'docs'))
  .map((name): [string, string[]] => [name, examplesOf(readFileSync(join(clientRoot, 'docs', name), 'utf8'))])
  .filter(([, examples]) => examples.length > 0)

for (const [page, examples] of pages) {
  for (const [at, example] of examples.entries()) {
    const method = methodOf(example)
    test(`example ${at + 1} of client/docs/${page} (${method}) runs`, async () => {
      const text = filledIn(example, basePath, await world.substitutes(method))
      assert.match(await run(project, text), /API called successfully/)
    })
  }
}

test('the pages have an example for each method', () => {
  assert.equal(pages.flatMap(([, examples]) => examples).length, 9 + 9 + 5 + 5 + 2 + 4)
})

test('the examples of the README run', async () => {
  const examples = examplesOf(readFileSync(join(clientRoot, 'README.md'), 'utf8'))
  const expected = [/^completed: .*Hello!/, /^200 \d\n\d\n$|^\d\n200 \d\n$/, /^completed\n$/]
  assert.equal(examples.length, expected.length)
  for (const [at, example] of examples.entries())
    assert.match(await run(project, filledIn(example, basePath, none)), expected[at] ?? /^$/)
})
