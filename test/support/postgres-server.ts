import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { createLog } from '../../src/log.ts'
import { startEmbeddedPostgres } from '../../src/store/embedded/launcher.ts'
import { migrate } from '../../src/store/migrate.ts'

// The Postgres of a test run, and the template that databases of tests are cloned from.

export const template = 'threadmill_template'

/** Starts a Postgres in a temporary folder; its URL has no database name in it. */
export async function startPostgres(): Promise<{ url: string; stop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'threadmill-tests-'))
  // As root, Postgres runs as another user, who must get in.
  await chmod(folder, 0o755)
  const postgres = await startEmbeddedPostgres({ dataDir: folder, log: createLog('silent') })
  const { host, port, user } = postgres.connection
  return {
    url: urlOf({ host, port, user }),
    async stop() {
      await postgres.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function urlOf({ host, port, user }: { host: string; port: number; user: string }): string {
  return `postgres://${user}@localhost/NAME?host=${encodeURIComponent(host)}&port=${port}`
}

/** `url` with its database name replaced. */
export function withName(url: string, name: string): string {
  const [before, options] = url.split('?')
  return (before ?? '').replace(/\/[^/]*$/, `/${name}`) + (options ? `?${options}` : '')
}

/** Makes the template that databases of tests are cloned from. */
export async function makeTemplate(serverUrl: string): Promise<void> {
  await execute(withName(serverUrl, 'postgres'), `drop database if exists ${template}`)
  await execute(withName(serverUrl, 'postgres'), `create database ${template}`)
  await migrate({ connectionString: withName(serverUrl, template) })
}

/** Runs one statement on a connection of its own. */
export async function execute(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}
