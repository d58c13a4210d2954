import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import OpenAI from 'openai'
import { root } from './support/embedded-postgres.ts'
import { endPostgres, plainEnvironment, postgresOf, serveAlone } from './support/npm-start.ts'
import { textOf } from './support/server.ts'

// The same with the embedded Postgres, by the program itself: beside a server that runs, and without one.

const folder = mkdtempSync('/tmp/threadmill-backup-')
// As root, Postgres runs as another user, who must get in.
chmodSync(folder, 0o755)
const [here, there] = [join(folder, 'here'), join(folder, 'there')]
after(() => {
  for (const dataDir of [here, there]) endPostgres(dataDir)
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

interface Ended {
  code: number | null
  err: string
}

async function command(dataDir: string, ...words: string[]): Promise<Ended> {
  const env = { ...plainEnvironment(), DATA_DIR: dataDir }
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), ...words], { env, timeout: 60_000 })
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, err }
}

const clientOf = ({ url }: { url: string }) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })

test('a backup where there are no data is refused, and makes and changes nothing there', async () => {
  const empty = join(folder, 'empty')
  mkdirSync(empty, { mode: 0o700 })
  for (const dataDir of [here, join(folder, 'no/such/folder'), empty]) {
    const { code, err } = await command(dataDir, 'backup', join(folder, 'none'))
    assert.equal(code, 66, err)
    assert.match(err, /there are no data in .*Set DATA_DIR/)
  }
  assert.deepEqual(readdirSync(folder, { recursive: true }), ['empty'])
  assert.equal(statSync(empty).mode & 0o777, 0o700)
})

test('the embedded store is backed up beside its server and without one, and restored into a new folder', async (t) => {
  const server = await serveAlone(t, here)
  const client = clientOf(server)
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'demo' })
  const { id } = await client.beta.threads.create({ messages: [{ role: 'user', content: 'Keep this.' }] })
  const run = await client.beta.threads.runs.createAndPoll(id, { assistant_id })
  assert.equal(run.status, 'completed')
  const slow = await client.beta.threads.create({ messages: [{ role: 'user', content: '/slow 3' }] })
  const going = await client.beta.threads.runs.create(slow.id, { assistant_id })

  const [beside, without] = [join(folder, 'beside'), join(folder, 'without')]
  const done = await command(here, 'backup', beside)
  assert.equal(done.code, 0, done.err)
  const refused = await command(here, 'restore', beside)
  assert.equal(refused.code, 69)
  assert.match(refused.err, /DATA_DIR .* is in use by another server/)
  server.signalGroup('SIGKILL')
  await server.ended()
  endPostgres(here)
  const cold = await command(here, 'backup', without)
  assert.equal(cold.code, 0, cold.err)
  assert.deepEqual(postgresOf(here), [])
  const full = await command(here, 'restore', beside)
  assert.equal(full.code, 77, full.err)

  const restored = await command(there, 'restore', beside)
  assert.equal(restored.code, 0, restored.err)
  assert.deepEqual(postgresOf(there), [])
  assert.ok(existsSync(without))
  const again = clientOf(await serveAlone(t, there))
  const messages = (await again.beta.threads.messages.list(id, { order: 'asc' })).data
  assert.match(textOf(messages[1]), /You said: "Keep this\."/)
  assert.equal((await again.beta.threads.runs.poll(going.id, { thread_id: slow.id })).status, 'completed')
})
