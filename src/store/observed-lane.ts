import { isTerminal } from '../contract/events.ts'
import type { RunRecord } from '../domain/records.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Lane } from './group-commit.ts'
import type { Store } from './store.ts'
import type { ThreadWrite } from './thread-write.ts'

// What is counted of commits, and of what they did to runs.

/** The lane, with its batches counted and timed. */
export function observedLane(lane: Lane, metrics: Metrics): Lane {
  return {
    ...lane,
    async commit(batch, how) {
      const since = performance.now()
      try {
        const outcomes = await lane.commit(batch, how)
        metrics.batchSize.observe(batch.length)
        metrics.commitSeconds.observe((performance.now() - since) / 1000)
        return outcomes
      } catch (error) {
        metrics.commitFailures.add()
        throw error
      }
    },
    async committed(batch) {
      const done = await lane.committed(batch)
      const found = done.filter(Boolean).length
      metrics.ambiguousWrites.with('found').add(found)
      metrics.ambiguousWrites.with('missing').add(done.length - found)
      return done
    },
  }
}

/** Counts, and tells of in traces, what a write that was committed has made of a run. */
export function observeWrite(
  { metrics, traces }: Pick<Store, 'metrics' | 'traces'>,
  write: ThreadWrite,
): void {
  switch (write.kind) {
    case 'create_run':
    case 'create_thread':
    case 'enqueue':
      if (!write.run) return
      metrics.runsCreated.add()
      traces?.created(write.run)
      return
    case 'advance':
    case 'delete_thread':
      if (!write.run) return
      countEnd(metrics, write.run)
      traces?.changed(write.run, write.rows.changedSteps)
      return
    case 'append':
    case 'delete_message':
    case 'promote':
    case 'log':
  }
}

function countEnd(metrics: Metrics, { state, created_at }: RunRecord): void {
  if (!isTerminal(state.status) || !('ended_at' in state)) return
  metrics.runsEnded.with(state.status).add()
  metrics.runSeconds.with(state.status).observe(state.ended_at - created_at)
}
