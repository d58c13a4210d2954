import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Registry } from './instruments.ts'
import { version } from './version.ts'

// What every process tells of itself, under the names that dashboards know from other servers.

/** Milliseconds between two looks at the event loop. */
const lookMs = 20

/** Adds the process's own metrics to those of a server; answers how to stop watching the event loop. */
export function watchProcess(registry: Registry): () => void {
  const gauge: Registry['gauge'] = (...of) => registry.gauge(...of)
  gauge('threadmill_build_info', 'The version of Threadmill; always 1.', () => [[{ version }, 1]], [
    'version',
  ])
  gauge('nodejs_version_info', 'The version of Node; always 1.', () => [[{ version: process.version }, 1]], [
    'version',
  ])
  registry.total(
    'process_cpu_user_seconds_total',
    'Processor time of the process in user mode.',
    () => process.cpuUsage().user / 1e6,
  )
  registry.total(
    'process_cpu_system_seconds_total',
    'Processor time of the process in the kernel.',
    () => process.cpuUsage().system / 1e6,
  )
  registry.total('process_cpu_seconds_total', 'Processor time of the process.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  gauge(
    'process_start_time_seconds',
    'When the process began, in Unix seconds.',
    () => performance.timeOrigin / 1000,
  )
  gauge('process_resident_memory_bytes', 'Memory of the process that is in RAM.', () =>
    process.memoryUsage.rss(),
  )
  gauge('process_open_fds', 'Files and sockets that the process has open.', openFiles)
  gauge('nodejs_heap_size_total_bytes', 'Size of the heap of V8.', () => process.memoryUsage().heapTotal)
  gauge(
    'nodejs_heap_size_used_bytes',
    'What of the heap of V8 is in use.',
    () => process.memoryUsage().heapUsed,
  )
  gauge(
    'nodejs_external_memory_bytes',
    'Memory outside the heap that objects in it hold.',
    () => process.memoryUsage().external,
  )
  return watchEventLoop(registry)
}

/** By how much the event loop is late, since someone asked last. */
function watchEventLoop(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: lookMs })
  delay.enable()
  // What is measured is the time between two looks.
  const late = (nanoseconds: number) =>
    delay.count === 0 ? 0 : Math.max(0, nanoseconds / 1e9 - lookMs / 1000)
  const gauge = (part: string, help: string, read: () => number) =>
    registry.gauge(`nodejs_eventloop_lag_${part}`, help, read)
  gauge('mean_seconds', 'By how much the event loop was late on average since this was asked for last.', () =>
    late(delay.mean),
  )
  gauge('p50_seconds', 'The median of the delay of the event loop.', () => late(delay.percentile(50)))
  gauge('p90_seconds', 'The 90th percentile of the delay of the event loop.', () =>
    late(delay.percentile(90)),
  )
  gauge('p99_seconds', 'The 99th percentile of the delay of the event loop.', () =>
    late(delay.percentile(99)),
  )
  gauge('max_seconds', 'The longest delay of the event loop.', () => {
    const most = late(delay.max)
    delay.reset()
    return most
  })
  return () => void delay.disable()
}

function openFiles(): number | null {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    // Only Linux tells.
    return null
  }
}
