import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startWorld } from '../test/client/example-world.ts'
import { examplesOf, filledIn, methodOf } from '../test/client/example.ts'
import { installClient, run } from '../test/client/installed-client.ts'

// A server on port 80, as the README says: the seed's examples find it without an address.

const world = await startWorld({ PORT: '80' })
const project = installClient()
const seedPage = readFileSync(
  fileURLToPath(new URL('../test/fixtures/seed-runs-api.md', import.meta.url)),
  'utf8',
)

for (const example of examplesOf(seedPage)) {
  const method = methodOf(example)
  test(`the seed's example of ${method} finds http://memgpt.localhost as printed`, async () => {
    const text = filledIn(example, null, await world.substitutes(method))
    assert.match(await run(project, text), /^API called successfully\. Returned data: /)
  })
}
