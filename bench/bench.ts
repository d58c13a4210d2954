import { runLoad } from './baseline-load.ts'
import { postgresOf } from './machine.ts'
import type { LineName, Options } from './options.ts'
import type { Mock } from './mock.ts'
import type { Samples } from './samples.ts'
import {
  startBare,
  startThreadmill,
  type Server,
  type StartOptions,
  type ThreadmillServer,
} from './servers.ts'

// What the lines share.

/** A state of the sources that is measured. */
export interface Subject {
  name: string
  root: string
}

export interface Line {
  name: LineName
  /** What it measures, for the one who waits. */
  about: string
  /** Whether it needs servers of its own, so that it cannot be run against a given URL. */
  own: boolean
  run(bench: Bench): Promise<void>
}

export class Bench {
  readonly options: Options
  readonly samples: Samples
  readonly mock: Mock
  readonly subjects: Subject[]
  /** The database of the servers that were started here, with what its durability hangs on. */
  postgres: string | null = null
  #shared: Promise<Server[]> | null = null

  constructor(options: Options, samples: Samples, mock: Mock, subjects: Subject[]) {
    this.options = options
    this.samples = samples
    this.mock = mock
    this.subjects = subjects
  }

  /** The bare server and those that are compared with it, started once for all lines of plain load. */
  contenders(): Promise<Server[]> {
    this.#shared ??= this.#start()
    return this.#shared
  }

  async #start(): Promise<Server[]> {
    const bare = await startBare(this.mock.url)
    const { baseUrl, pid } = this.options
    if (baseUrl !== null) {
      const given = { name: 'server', base: baseUrl, pid, database: null, readyMs: NaN, stop: async () => {} }
      return [bare, given]
    }
    const servers: Server[] = [bare]
    for (const subject of this.subjects) servers.push(await this.fresh(subject))
    if (!this.options.quick) for (const server of servers) await this.#warm(server)
    return servers
  }

  /** The first seconds of a process are those of its compiler. */
  async #warm(server: Server): Promise<void> {
    await runLoad(server, this.mock.url, { phase: 'load', conc: 16, seconds: 4 })
  }

  /** A server of its own, on data of its own; the caller stops it. */
  async fresh(subject: Subject, more: Partial<StartOptions> = {}): Promise<ThreadmillServer> {
    const { databaseUrl } = this.options
    const server = await startThreadmill({ ...subject, mockUrl: this.mock.url, databaseUrl, ...more })
    this.postgres ??= await postgresOf(server)
    return server
  }

  /** Runs `work` with a server of its own. */
  async withFresh<T>(
    subject: Subject,
    work: (server: ThreadmillServer) => Promise<T>,
    more: Partial<StartOptions> = {},
  ): Promise<T> {
    const server = await this.fresh(subject, more)
    try {
      return await work(server)
    } finally {
      await server.stop()
    }
  }

  /** In turn, and in the other order every other round, so that no one is always first. */
  async eachContender(round: number, work: (server: Server) => Promise<void>): Promise<void> {
    const servers = await this.contenders()
    for (const server of round % 2 === 0 ? servers : servers.toReversed()) await work(server)
  }

  async stop(): Promise<void> {
    if (this.#shared) for (const server of await this.#shared) await server.stop()
  }
}
