import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { refuseOpenDoor, type Config } from './config.ts'
import { Engine } from './engine/engine.ts'
import { KeyRing } from './http/key-ring.ts'
import { OpenStreams } from './http/open-streams.ts'
import { buildServer } from './http/server.ts'
import type { RequestTimeouts } from './http/slow-bodies.ts'
import { reasonOf, type Log } from './log.ts'
import { Metrics } from './observe/metrics.ts'
import type { ExporterOptions } from './observe/otlp.ts'
import { watchProcess } from './observe/process-metrics.ts'
import type { RunTraces } from './observe/run-traces.ts'
import { createChatCompletionsModel } from './models/chat-completions.ts'
import { createDemoModel } from './models/demo.ts'
import { createHttpTransport, type HttpTransport, type Timeouts } from './models/http-transport.ts'
import { ProjectModels } from './models/project-models.ts'
import { createModelRouter } from './models/router.ts'
import { refuseOwnAddress } from './self-url.ts'
import { StoreStartError } from './store/embedded/errors.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from './store/embedded/launcher.ts'
import type { Monotonic } from './store/clock.ts'
import type { Connection } from './store/pool.ts'
import { hasOtherNodes } from './store/nodes.ts'
import { modelSettings } from './store/project-models.ts'
import { openStore, within, type Store } from './store/store.ts'
import { readTokenLimits } from './store/usage-days.ts'
import { createTraces } from './traces.ts'

export interface App {
  /** Where it listens, for instance http://127.0.0.1:8283 */
  url: string
  /** The model behind it, for people; no credential. */
  model: string
  /** The store, for people; no credential. */
  storeDescription: string
  /** Something unusual that the user should know, or null. */
  notice: string | null
  store: Store
  engine: Engine
  /** The keys that let clients in. */
  keys: KeyRing
  /** Stops in order: runs reach a safe point, streams end, the store closes. Within 15 s. */
  stop(): Promise<void>
  /** For an exit that cannot wait: leaves no Postgres behind. What was acknowledged is safe. */
  abort(): void
}

/** What tests may set differently; the defaults are those of production. */
export interface Tuning {
  /** Milliseconds between heartbeats. */
  beatMs?: number
  /** Milliseconds between sweeps. */
  sweepMs?: number
  /** Milliseconds after which the start of a turn is committed by itself. */
  startAfterMs?: number
  /** Milliseconds for which a server that stops serves on, if there are others, so that they can be chosen instead. */
  seenMs?: number
  /** Milliseconds that runs get to end when the server stops. */
  drainMs?: number
  /** Milliseconds from the beginning of a stop until streams of runs that others have taken break off. */
  followMs?: number
  /** Milliseconds that a request waits for one with its Idempotency-Key. */
  keyWaitMs?: number
  /** Milliseconds that a read of a run waits for its end. */
  readWaitMs?: number
  /** Milliseconds that the commit of a run waits for what its first turn does. */
  createWaitMs?: number
  /** Seconds without a heartbeat after which a node counts as dead. */
  silence?: number
  /** Whether no other process writes to the database. */
  alone?: boolean
  /** What the node's lease is measured by. */
  monotonic?: Monotonic
  modelTimeouts?: Partial<Timeouts>
  requestTimeouts?: Partial<RequestTimeouts>
  /** When spans are sent, and how long that may take. */
  traceTiming?: ExporterOptions['timing']
}

// A stop takes 15 s at most: streams follow runs that were handed to others for 14, the last second is for the rest.
const defaults = {
  beatMs: 500,
  sweepMs: 1_000,
  drainMs: 8_000,
  maxAttempts: 3,
  startAfterMs: 20,
  seenMs: 1_000,
  followMs: 14_000,
}

/**
 * Starts everything: store, engine, HTTP. What was started is stopped again when a later part fails. `broken`, which must not come
 * later, breaks the start off where that would leave an embedded Postgres behind.
 */
export async function startApp(
  config: Config,
  log: Log,
  tuning: Tuning = {},
  broken?: AbortSignal,
): Promise<App> {
  const started: (() => Promise<unknown>)[] = []
  const stopAll = () => stopEach(started)
  try {
    if (config.modelUrl) await refuseOwnAddress(config.modelUrl, config.host, config.port)
    const { dataDir } = config
    const embedded = config.databaseUrl ? null : await startEmbeddedPostgres({ dataDir, log, signal: broken })
    if (embedded) started.push(() => embedded.stop())
    // What is under way by then fails, whatever it waits for.
    if (embedded) broken?.addEventListener('abort', () => void embedded.stop())
    const observing = startObserving(config, log, tuning)
    started.push(observing.stop)
    const store = await connect(embedded, config, log, observing, tuning)
    started.push(() => store.close())
    const { model, models, transport } = modelOf(config, tuning)
    if (transport) started.push(() => transport.close())
    started.push(() => models.close())
    const keys = await openKeys(config, store, log, models)
    started.push(async () => keys.close())

    const engine = engineOf(config, store, models, log, tuning)
    const [stopping, closing] = [new AbortController(), new AbortController()]
    const streams = new OpenStreams(log)
    observing.metrics.sources.streams = () => streams.count
    const http = buildServer({
      store,
      log,
      dialect: config.dialect,
      keys,
      openDoor: config.anonymous,
      adminKey: config.adminKey,
      keysSecret: config.keysSecret,
      secretsKey: config.secretsKey,
      monotonic: tuning.monotonic,
      unknownKeys: config.unknownKeys,
      allowedOrigins: config.allowedOrigins,
      allowedHosts: config.allowedHosts,
      runTtl: config.runTtl,
      eventsKeptFor: config.eventsKeptFor,
      threadPolicy: config.threadPolicy,
      maxFileBytes: config.maxFileBytes,
      keyWaitMs: tuning.keyWaitMs,
      timeouts: requestTimeouts(config, tuning),
      listModels: (project, signal) => models.of(project).list(signal),
      allowsModel: (project, name) => models.allows(project, name),
      streams,
      stopping: stopping.signal,
      closing: closing.signal,
    })
    started.push(() => drain({ engine, http, store, streams, stopping, closing }, tuning))
    await http.listen({ host: config.host, port: config.port, backlog: 4096 })
    engine.start()

    const { port } = http.server.address() as AddressInfo
    return {
      url: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`,
      model: model.description,
      storeDescription: embedded
        ? `embedded PostgreSQL ${embedded.version} in ${embedded.dataDir}`
        : 'the PostgreSQL of DATABASE_URL',
      notice: embedded?.notice ?? null,
      store,
      engine,
      keys,
      stop: stopAll,
      abort: () => embedded?.abort(),
    }
  } catch (error) {
    await stopAll().catch((failure: unknown) =>
      log.error('a part did not stop', { reason: reasonOf(failure) }),
    )
    throw error
  }
}

/** Stops each part, the last one first, whatever happens to the others; the first failure is reported. */
async function stopEach(started: (() => Promise<unknown>)[]): Promise<void> {
  const failures: unknown[] = []
  for (const stop of started.splice(0).reverse()) await stop().catch((error: unknown) => failures.push(error))
  if (failures.length > 0) throw failures[0]
}

interface Observing {
  metrics: Metrics
  traces: RunTraces | null
  stop: () => Promise<void>
}

/** Begins to count, and to tell traces if there is a collector. */
function startObserving(config: Config, log: Log, tuning: Tuning): Observing {
  const metrics = new Metrics()
  const unwatch = watchProcess(metrics.registry)
  const traces = createTraces(config, log, metrics, tuning.traceTiming)
  const stop = async () => {
    unwatch()
    await traces?.close()
  }
  return { metrics, traces: traces?.runs ?? null, stop }
}

interface Serving {
  engine: Engine
  http: ReturnType<typeof buildServer>
  store: Store
  streams: OpenStreams
  stopping: AbortController
  closing: AbortController
}

/** Stops to serve: runs end or are handed over, and streams follow them. */
async function drain(
  { engine, http, store, streams, stopping, closing }: Serving,
  tuning: Tuning,
): Promise<void> {
  const { drainMs, seenMs, followMs } = { ...defaults, ...tuning }
  stopping.abort()
  const since = performance.now()
  // It is served on until others can have seen /readyz: whoever is still sent here is not turned away.
  const seen = hasCompany(store).then((company) => sleep(company ? seenMs : 0))
  await Promise.all([engine.settle(drainMs), seen])
  const closed = http.close()
  await engine.release()
  // Streams of runs that were handed over follow them on, if there is anyone to go on with them.
  await followOn(store, streams, followMs - (performance.now() - since))
  closing.abort()
  await closeConnections(http.server, closed)
}

/** Waits for the streams to end, `ms` at most, as long as there is another node. */
async function followOn(store: Store, streams: OpenStreams, ms: number): Promise<void> {
  if (streams.count === 0) return
  try {
    // Whoever takes the runs tells their news to nodes that live.
    await store.beat()
    if (await hasCompany(store)) await within(ms, streams.none())
    await store.leave()
  } catch {
    // Without a database there is nothing to follow.
  }
}

/** Whether another node can take what this one leaves. Without a database nobody can. */
function hasCompany(store: Store): Promise<boolean> {
  return hasOtherNodes(store.pool, store.node, store.lease.silence).catch(() => false)
}

/** Waits for the answers under way, a second at most, and closes each connection as soon as it is idle. */
async function closeConnections(server: Server, closed: Promise<unknown>): Promise<void> {
  const idle = setInterval(() => server.closeIdleConnections(), 20)
  const late = setTimeout(() => server.closeAllConnections(), 1_000)
  await closed
  clearInterval(idle)
  clearTimeout(late)
}

/**
 * The keys of the database, and with them the model endpoints of projects and the limits of tokens. Throws ConfigError if there are no keys, and others
 * would reach the server.
 */
async function openKeys(config: Config, store: Store, log: Log, models: ProjectModels): Promise<KeyRing> {
  const { keysSecret: secret, keysRequired: required, secretsKey } = config
  const alsoRead = async () => {
    const [settings, tokens] = await Promise.all([
      modelSettings(store.pool, secretsKey),
      readTokenLimits(store.pool),
    ])
    store.tokenLimits.replace(tokens)
    models.replace(settings)
    for (const { id, key } of settings)
      if (key === undefined)
        log.error("the key of a project's model endpoint cannot be read: check SECRETS_KEY", { project: id })
  }
  const keys = new KeyRing({
    pool: store.pool,
    secret,
    required,
    now: () => store.clock.now(),
    log,
    alsoRead,
  })
  await keys.open()
  try {
    refuseOpenDoor(config, keys.closed)
  } catch (error) {
    keys.close()
    throw error
  }
  return keys
}

async function connect(
  embedded: EmbeddedPostgres | null,
  config: Config,
  log: Log,
  { metrics, traces }: Observing,
  { silence, monotonic, alone, readWaitMs, createWaitMs }: Tuning,
): Promise<Store> {
  const connection: Connection = embedded?.connection ?? { connectionString: config.databaseUrl ?? '' }
  try {
    return await openStore({
      connection,
      log,
      metrics,
      traces,
      silence,
      monotonic,
      readWaitMs,
      createWaitMs,
      alone: alone ?? embedded !== null,
    })
  } catch (error) {
    if (error instanceof StoreStartError || embedded) throw error
    // pg's own messages name host, user and database, never the password.
    throw new StoreStartError(`The database of DATABASE_URL cannot be used: ${reasonOf(error)}`)
  }
}

function engineOf(config: Config, store: Store, models: ProjectModels, log: Log, tuning: Tuning): Engine {
  return new Engine({
    store,
    modelOf: (project) => models.of(project),
    windowOf: (project, name) => models.windowOf(project, name),
    log,
    capacity: config.capacity,
    beatMs: tuning.beatMs ?? defaults.beatMs,
    sweepMs: tuning.sweepMs ?? defaults.sweepMs,
    maxAttempts: defaults.maxAttempts,
    maxTurns: config.maxTurns,
    startAfterMs: tuning.startAfterMs ?? defaults.startAfterMs,
    eventsKeptFor: config.eventsKeptFor,
    retainThreadsFor: config.retainThreadsFor,
  })
}

function requestTimeouts(config: Config, tuning: Tuning): RequestTimeouts {
  return {
    headersMs: config.headersTimeout * 1_000,
    bodyMs: config.bodyTimeout * 1_000,
    keepAliveMs: config.keepAliveTimeout * 1_000,
    checkMs: 1_000,
    ...tuning.requestTimeouts,
  }
}

function modelOf(config: Config, tuning: Tuning) {
  const timeouts: Partial<Timeouts> = {
    connectMs: config.modelConnectTimeout * 1_000,
    firstByteMs: config.modelFirstByteTimeout * 1_000,
    betweenBytesMs: config.modelIdleTimeout * 1_000,
    ...tuning.modelTimeouts,
  }
  let transport: HttpTransport | null = null
  if (config.modelUrl) {
    const apiKey = config.modelKey ?? undefined
    transport = createHttpTransport({ baseUrl: config.modelUrl, apiKey, timeouts })
  }
  const backend = transport ? createChatCompletionsModel({ transport }) : undefined
  const { aliases, windows } = config
  const demo = createDemoModel()
  const model = createModelRouter({ backend, demo, aliases })
  return { model, models: new ProjectModels({ server: model, demo, aliases, windows, timeouts }), transport }
}
