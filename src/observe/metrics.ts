import { Registry, type GaugeReading } from './instruments.ts'

// What a server counts of itself (docs/metrics.md). One place defines all names; who has something to count holds the
// instrument, and who has a state to show gives a way to read it.

/** Seconds. */
const requestBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const commitBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
const modelBounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const runBounds = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600]
const queueBounds = [0, 1, 2, 5, 10, 30, 60, 120, 300, 600]
/** Writes; a batch has 64 at most (group-commit.ts). */
const batchBounds = [1, 2, 4, 8, 16, 32, 64]

/** Names of models that are told apart: they come from clients. */
const maxModels = 50

/** Which runs there are in the database, whoever works on them. */
export interface RunCounts {
  byStatus: Readonly<Record<string, number>>
  /** Runs that are queued and that no server has taken. */
  unowned: number
  /** Seconds that the oldest of them has waited. */
  oldest: number
  /** Runs and messages that wait for a run to leave their thread. */
  waiting: number
}

/** Connections to the database for one purpose. */
export interface PoolState {
  name: string
  /** Connections that it may have. */
  most: number
  total: number
  idle: number
  /** Statements that wait for a connection. */
  waiting: number
}

/** States that are read when someone asks; their owners put themselves in place of these. */
interface Sources {
  pools: () => PoolState[]
  streams: () => number
  executing: () => number
  capacity: () => number
}

export class Metrics {
  readonly registry = new Registry()
  readonly sources: Sources = {
    pools: () => [],
    streams: () => 0,
    executing: () => 0,
    capacity: () => 0,
  }
  /** As of the last look at the database; null if it could not be asked. */
  runCounts: RunCounts | null = null

  readonly requests = this.registry.counters(
    'threadmill_http_requests_total',
    'Requests that were answered, by the pattern of their path.',
    ['route', 'method', 'status'],
  )
  readonly requestSeconds = this.registry.histograms(
    'threadmill_http_request_duration_seconds',
    'Time from a request to its answer; of a stream to its beginning. Polls that are held take up to 5 s.',
    ['route', 'method'],
    requestBounds,
  )
  readonly runsCreated = this.registry.counter(
    'threadmill_runs_created_total',
    'Runs that were created by this server.',
  )
  readonly runsEnded = this.registry.counters(
    'threadmill_runs_ended_total',
    'Runs whose end was committed by this server, by their last status.',
    ['status'],
  )
  readonly runSeconds = this.registry.histograms(
    'threadmill_run_duration_seconds',
    'Time from the creation of a run to its end, in whole seconds, tools of the client included.',
    ['status'],
    runBounds,
  )
  readonly queuedSeconds = this.registry.histogram(
    'threadmill_run_queued_seconds',
    'Time from the creation of a run to its first turn, in whole seconds; 0 if a server had room at once.',
    queueBounds,
  )
  readonly modelCalls = this.registry.counters(
    'threadmill_model_calls_total',
    'Calls of a model, by how they ended: the reason for stopping, the error, or interrupted.',
    ['model', 'outcome'],
    maxModels,
  )
  readonly modelSeconds = this.registry.histograms(
    'threadmill_model_call_duration_seconds',
    'Time from a call of a model to its end.',
    ['model'],
    modelBounds,
    maxModels,
  )
  readonly firstTokenSeconds = this.registry.histograms(
    'threadmill_time_to_first_token_seconds',
    'Time from a call of a model to the first text or tool call.',
    ['model'],
    modelBounds,
    maxModels,
  )
  readonly tokens = this.registry.counters(
    'threadmill_tokens_total',
    'Tokens of finished model calls, as the model reported them or as they were estimated.',
    ['model', 'direction'],
    maxModels,
  )
  readonly leaseLosses = this.registry.counter(
    'threadmill_lease_losses_total',
    'Times that this server could not beat in time and left its runs to others.',
  )
  readonly runsRecovered = this.registry.counters(
    'threadmill_runs_recovered_total',
    'Runs that this server queued again: of silent servers, or of its own that it had lost track of.',
    ['reason'],
  )
  readonly threadsRetired = this.registry.counter(
    'threadmill_threads_retired_total',
    'Threads that this server deleted for their age.',
  )
  readonly batchSize = this.registry.histogram(
    'threadmill_commit_batch_size',
    'Writes that went to the database together.',
    batchBounds,
  )
  readonly commitSeconds = this.registry.histogram(
    'threadmill_commit_duration_seconds',
    'Time that the commit of a batch took.',
    commitBounds,
  )
  readonly commitFailures = this.registry.counter(
    'threadmill_commit_failures_total',
    'Batches whose commit failed; their writes are tried again or looked up.',
  )
  readonly ambiguousWrites = this.registry.counters(
    'threadmill_ambiguous_writes_total',
    'Writes whose commit lost its answer and that were looked up: found, or missing and sent again.',
    ['outcome'],
  )
  readonly spans = this.registry.counters(
    'threadmill_trace_spans_total',
    'Spans, by what became of them: exported, rejected by the collector, or dropped.',
    ['outcome'],
  )

  constructor() {
    const { registry, sources } = this
    // From 0 on, so that the first of a kind is seen as growth.
    for (const status of ['completed', 'failed', 'cancelled', 'expired', 'incomplete'])
      this.runsEnded.with(status)
    for (const reason of ['silent_server', 'lost_track']) this.runsRecovered.with(reason)
    for (const outcome of ['found', 'missing']) this.ambiguousWrites.with(outcome)
    const counted = (read: (counts: RunCounts) => GaugeReading) => () =>
      this.runCounts === null ? null : read(this.runCounts)
    registry.gauge('threadmill_database_up', 'Whether the database answered when this was asked for.', () =>
      this.runCounts === null ? 0 : 1,
    )
    registry.gauge(
      'threadmill_runs',
      'Runs that have not ended, by status. Of the whole database: every server says the same.',
      counted(({ byStatus }) => Object.entries(byStatus).map(([status, n]) => [{ status }, n] as const)),
      ['status'],
    )
    registry.gauge(
      'threadmill_runs_unowned',
      'Runs that are queued and that no server has taken. Of the whole database.',
      counted(({ unowned }) => unowned),
    )
    registry.gauge(
      'threadmill_queue_oldest_seconds',
      'Time for which the oldest of the runs that no server has taken has waited. Of the whole database.',
      counted(({ oldest }) => oldest),
    )
    registry.gauge(
      'threadmill_thread_queue_length',
      'Runs and messages that wait for a run to leave their thread. Of the whole database.',
      counted(({ waiting }) => waiting),
    )
    registry.gauge('threadmill_runs_executing', 'Runs that this server works on now.', () =>
      sources.executing(),
    )
    registry.gauge('threadmill_run_capacity', 'Runs that this server may work on at a time.', () =>
      sources.capacity(),
    )
    registry.gauge('threadmill_streams_open', 'Event streams that are open on this server.', () =>
      sources.streams(),
    )
    this.#pools()
  }

  #pools(): void {
    const { registry, sources } = this
    const each = (read: (pool: PoolState) => number) => () =>
      sources.pools().map((pool) => [{ pool: pool.name }, read(pool)] as const)
    registry.gauge(
      'threadmill_pool_size',
      'Connections to the database that may be open, by what they are for.',
      each(({ most }) => most),
      ['pool'],
    )
    registry.gauge(
      'threadmill_pool_in_use',
      'Connections to the database that a statement uses now.',
      each(({ total, idle }) => total - idle),
      ['pool'],
    )
    registry.gauge(
      'threadmill_pool_waiting',
      'Statements that wait for a connection to the database.',
      each(({ waiting }) => waiting),
      ['pool'],
    )
  }
}
