import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../src/log.ts'
import { GroupCommit } from '../src/store/group-commit.ts'
import { createPool, queryOnce, Unsendable } from '../src/store/pool.ts'
import { commitThreadWrites, type ThreadWrite } from '../src/store/thread-write.ts'
import { atEnd, createDatabase } from './support/database.ts'
import { newMessage, newThread } from './support/records.ts'

// Many requests of up to 30 MB at once: a flush of all of them would be longer than a string may be.

const db = await createDatabase()
const pool = createPool(
  { connectionString: db.url },
  { max: 1, name: 'large', log: createLog('silent'), bounds: { statement: 500, lock: 300, dead: 1_000 } },
)
atEnd(async () => {
  await pool.end()
  await db.drop()
})

const MB = 1 << 20

function create(characters: number): ThreadWrite {
  const thread = newThread()
  return { kind: 'create_thread', thread, messages: [newMessage(thread.id, 'x'.repeat(characters))] }
}

const committed = async (): Promise<boolean[]> => assert.fail('nothing is in doubt')

test('a batch holds about 8 MB at most, a larger write goes alone, and none is left behind', async () => {
  const batches: number[][] = []
  const commits = new GroupCommit({
    commit: async (batch) => {
      batches.push(batch.map((write) => Math.round(JSON.stringify(write).length / MB)))
      return batch.map(() => ({ outcome: 'ok' }))
    },
    committed,
  })
  await Promise.all([3, 20, 3, 1, 3, 9, 0].map((size) => commits.submit(create(size * MB))))
  assert.deepEqual(batches, [[3, 3, 1, 0], [20], [3], [9]])
})

test('a write that cannot be put into words fails at once and alone, and is not taken for a lost connection', async () => {
  const endless = create(1)
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  if (endless.kind === 'create_thread')
    Object.defineProperty(endless.thread, 'tool_resources', { value: { toJSON: () => circle } })
  const commits = new GroupCommit({ commit: (batch) => commitThreadWrites(pool, batch), committed })
  const [failed, ...others] = await Promise.allSettled(
    [endless, create(1), create(1)].map((one) => commits.submit(one)),
  )
  assert.ok(failed?.status === 'rejected' && failed.reason instanceof Unsendable)
  for (const other of others) assert.ok(other.status === 'fulfilled' && other.value.outcome === 'ok')
})

test('a statement with large parameters gets more time, and the next one the usual', async () => {
  const sleep = 'select pg_sleep($1::float), length($2)'
  const run = (seconds: string, characters: number) =>
    queryOnce(pool, 'sleep', sleep, [seconds, 'x'.repeat(characters)])
  await assert.rejects(run('1', 1), { code: '57014' })
  await run('1', 3 * MB)
  await assert.rejects(run('1', 1), { code: '57014' })
  // pg gives up its waiting a second after the statement's own bound.
  await run('2.5', 3 * MB)
})
