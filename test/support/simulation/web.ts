import type { FastifyInstance } from 'fastify'
import { readConfig } from '../../../src/config.ts'
import type { HttpContext } from '../../../src/http/context.ts'
import { KeyRing } from '../../../src/http/key-ring.ts'
import { OpenStreams } from '../../../src/http/open-streams.ts'
import { buildServer } from '../../../src/http/server.ts'
import { createLog } from '../../../src/log.ts'
import { currentOutside, installOutside } from './outside.ts'
import { Process } from './process.ts'

// The real HTTP servers without sockets. To build one takes longer than a whole simulation, so they are made once and used
// by the processes of all simulations: each works with the store of the process in whose name it is asked.

/** More than any simulation has processes. */
const servers = 10

function asking(): Process {
  const process = currentOutside()
  if (!(process instanceof Process)) throw new Error('a request belongs to no process')
  return process
}

/** An object whose parts are those of another, which is looked up whenever one of them is used. */
function standIn<T extends object>(present: () => T, fixed: Partial<T> = {}): T {
  return new Proxy({} as T, {
    get(_, key) {
      if (key in fixed) return fixed[key as keyof T]
      const object = present()
      const value: unknown = object[key as keyof T]
      return typeof value === 'function' ? (value.bind(object) as unknown) : value
    },
  })
}

function storeOf(process: Process) {
  if (!process.store) throw new Error('a request came before the store was open')
  return process.store
}

/** Takes about a second. */
export async function buildWeb(): Promise<FastifyInstance[]> {
  installOutside()
  return Promise.all(Array.from({ length: servers }, buildOne))
}

async function buildOne(): Promise<FastifyInstance> {
  const store = standIn(() => storeOf(asking()), { pool: standIn(() => storeOf(asking()).pool) })
  const context: HttpContext = {
    ...readConfig({}),
    store,
    log: createLog('silent'),
    get threadPolicy() {
      return asking().threadPolicy
    },
    get runTtl() {
      return asking().runTtl
    },
    keys: new KeyRing({
      pool: store.pool,
      secret: null,
      required: false,
      now: () => 0,
      log: createLog('silent'),
    }),
    // Bodies come whole, and no connection stays.
    timeouts: { headersMs: 60_000, bodyMs: 60_000, keepAliveMs: 60_000, checkMs: 3_600_000 },
    openDoor: false,
    adminKey: null,
    keysSecret: null,
    secretsKey: null,
    listModels: () => Promise.resolve([]),
    allowsModel: () => true,
    // No process of a simulation stops in order: they are killed.
    streams: new OpenStreams(createLog('silent')),
    stopping: new AbortController().signal,
    closing: new AbortController().signal,
  }
  const app = buildServer(context)
  await app.ready()
  return app
}
