import { rmSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '../src/log.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../src/store/embedded/launcher.ts'
import { migrate } from '../src/store/migrate.ts'
import { execute, withName } from '../test/support/postgres-server.ts'
import { startModel, type JournalModel } from './model.ts'
import { NodeProcess } from './node-process.ts'
import { startPgGate } from './pg-gate.ts'
import type { Random } from './random.ts'

// One Postgres, one model and several real servers, each with its own way to Postgres.

export interface Cluster {
  /** The database, not by way of a gate. */
  url: string
  model: JournalModel
  nodes: NodeProcess[]
  /** Stops Postgres in order and starts it again on the same data. */
  restartPostgres(): Promise<void>
  /** SIGKILL of the postmaster; resolves when Postgres takes connections again. */
  killPostgres(): Promise<void>
  stop(): Promise<{ exits: (number | null)[] }>
}

/** Starts `count` nodes and waits until all can serve. */
export async function startCluster(count: number, random: Random, longestPause: number): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'threadmill-chaos-'))
  const log = createLog('silent')
  const open = () => startEmbeddedPostgres({ dataDir: folder, log })
  let postgres: EmbeddedPostgres = await open()
  const leave = () => {
    postgres.abort()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  process.once('exit', leave)
  const { host, port, user } = postgres.connection
  const server = `postgres://${user}@localhost/NAME?host=${encodeURIComponent(host)}&port=${port}`
  await execute(withName(server, 'postgres'), 'create database chaos')
  const url = withName(server, 'chaos')
  await migrate({ connectionString: url })
  const model = await startModel(random.fork(), longestPause)
  const nodes: NodeProcess[] = []
  for (let i = 0; i < count; i++) {
    const [gate, nodePort] = await Promise.all([startPgGate(url), freePort()])
    const name = `node ${i + 1}`
    nodes.push(
      new NodeProcess({
        name,
        port: nodePort,
        gate,
        modelUrl: model.urlFor(name),
        cache: join(folder, 'cache'),
      }),
    )
  }
  for (const node of nodes) node.start()
  await Promise.all(nodes.map((node) => node.ready()))
  // One after another: none is started while another still stops.
  let last = Promise.resolve()
  const alone = (work: () => Promise<void>) => (last = last.then(work))
  return {
    url,
    model,
    nodes,
    restartPostgres: () =>
      alone(async () => {
        await postgres.stop()
        postgres = await open()
      }),
    killPostgres: () =>
      alone(async () => {
        const lines = await readFile(join(folder, 'postgres', 'postmaster.pid'), 'utf8')
        process.kill(Number(lines.split('\n')[0]), 'SIGKILL')
        while (
          !(await execute(url, 'select').then(
            () => true,
            () => false,
          ))
        )
          await sleep(100)
      }),
    async stop() {
      const exits = await Promise.all(nodes.map((node) => node.stop()))
      await Promise.all([model.close(), ...nodes.map(({ gate }) => gate.close())])
      await postgres.stop()
      process.off('exit', leave)
      await rm(folder, { recursive: true, force: true })
      return { exits }
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
