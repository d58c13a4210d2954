// Loaded into the server by `node --import`, so that the product has no part in it: on SIGUSR2 it writes by how much timers
// came late since the last SIGUSR2 (or the start) to the file of BENCH_DELAY_FILE, in milliseconds.
import { renameSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const file = process.env.BENCH_DELAY_FILE
if (file) {
  const resolution = 5
  const delays = monitorEventLoopDelay({ resolution })
  delays.enable()
  process.on('SIGUSR2', () => {
    // The histogram counts the pause that was asked for, too.
    const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - resolution)
    const [p50, p99, max] = [delays.percentile(50), delays.percentile(99), delays.max].map(late)
    writeFileSync(
      `${file}.new`,
      JSON.stringify({ stamp: performance.timeOrigin + performance.now(), p50, p99, max }),
    )
    renameSync(`${file}.new`, file)
    delays.reset()
  })
}
