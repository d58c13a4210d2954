import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
  /** The same for an operator, who may end connections. */
  model: JournalModel
  nodes: NodeProcess[]
  /** Stops Postgres in order or at once, and starts it again on the same data. */
  restartPostgres(): Promise<void>
  stop(): Promise<{ exits: (number | null)[] }>
}

/** Starts `count` nodes and waits until all can serve. */
export async function startCluster(count: number, random: Random, longestPause: number): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'threadmill-chaos-'))
  const log = createLog('silent')
  const open = () => startEmbeddedPostgres({ dataDir: folder, log })
  let postgres: EmbeddedPostgres = await open()
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
      new NodeProcess({ name, port: nodePort, gate, modelUrl: model.url, cache: join(folder, 'cache') }),
    )
  }
  for (const node of nodes) node.start()
  await Promise.all(nodes.map((node) => node.ready()))
  return {
    url,
    model,
    nodes,
    async restartPostgres() {
      await postgres.stop()
      postgres = await open()
    },
    async stop() {
      const exits = await Promise.all(nodes.map((node) => node.stop()))
      await Promise.all([model.close(), ...nodes.map(({ gate }) => gate.close())])
      await postgres.stop()
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
