import assert from 'node:assert/strict'
import { appendFileSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLog } from '../src/log.ts'
import { startEmbeddedPostgres } from '../src/store/embedded/launcher.ts'
import { postgresProcessesIn } from '../src/store/embedded/processes.ts'
import { atEnd, makeFolder, pidIn, query, until } from './support/embedded-postgres.ts'

// An embedded PostgreSQL that ends while its server runs.

test('a postmaster that is killed is logged as an error and started again, each time', async (t) => {
  const dataDir = await makeFolder(t)
  const lines: string[] = []
  const log = createLog('warn', (line) => lines.push(line) > 0)
  const postgres = await startEmbeddedPostgres({ dataDir, log })
  atEnd(t, () => postgres.stop())
  await query(postgres.connection, 'create table kept (id int)')
  for (let times = 1; times <= 2; times++) {
    const pid = pidIn(join(dataDir, 'postgres'))
    await query(postgres.connection, 'insert into kept values (1)')
    process.kill(pid, 'SIGKILL')
    await until(() => lines.filter((line) => line.includes('PostgreSQL runs again')).length === times)
    assert.notEqual(pidIn(join(dataDir, 'postgres')), pid)
    assert.deepEqual(await query(postgres.connection, 'select count(*)::int from kept'), [times])
  }
  assert.equal(lines.filter((line) => line.includes('PostgreSQL ended unexpectedly')).length, 2)
  await postgres.stop()
  assert.deepEqual(postgresProcessesIn(join(dataDir, 'postgres')), [])
})

test('a postmaster that cannot be started again is tried until it can, with few lines, and stop() ends that', async (t) => {
  const dataDir = await makeFolder(t)
  const lines: string[] = []
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: createLog('warn', (line) => lines.push(line) > 0),
  })
  atEnd(t, () => postgres.stop())
  const config = join(dataDir, 'postgres/postgresql.conf')
  const good = readFileSync(config)
  const said = (what: string) => lines.filter((line) => line.includes(what)).length
  const breakIt = () => {
    appendFileSync(config, '\nno_such_setting = 1\n')
    process.kill(pidIn(join(dataDir, 'postgres')), 'SIGKILL')
  }
  breakIt()
  await until(() => said('PostgreSQL cannot be started') === 1)
  assert.match(lines.join(''), /unrecognized configuration parameter/)
  // It is tried more often than it is told of.
  const attempts = () =>
    readFileSync(join(dataDir, 'postgres.log'), 'utf8').split('no_such_setting').length - 1
  await until(() => attempts() >= 3)
  assert.equal(said('PostgreSQL cannot be started'), 1)
  await writeFile(config, good)
  await until(() => said('PostgreSQL runs again') === 1)
  assert.deepEqual(await query(postgres.connection, 'select 1'), [1])
  breakIt()
  await until(() => said('PostgreSQL cannot be started') === 2)
  await postgres.stop()
  assert.deepEqual(postgresProcessesIn(join(dataDir, 'postgres')), [])
})
