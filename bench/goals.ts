import type { LineName } from './options.ts'

// What is asked of each number. The reference is another target of the same metric: the bare server, or the same server
// before it was full.

export interface Goal {
  line: LineName
  metric: string
  /** What the number is compared with. */
  reference: 'bare' | 'small' | 'before' | null
  /** share: percent of the reference. over: minus the reference. times: divided by it. value: as it is. */
  as: 'share' | 'over' | 'times' | 'value'
  atLeast?: number
  atMost?: number
  /** What to aim at beyond the goal. */
  aim?: number
}

const share = (line: LineName, metric: string, atLeast?: number, aim?: number): Goal => ({
  line,
  metric,
  reference: 'bare',
  as: 'share',
  atLeast,
  aim,
})
const over = (line: LineName, metric: string, atMost?: number, aim?: number): Goal => ({
  line,
  metric,
  reference: 'bare',
  as: 'over',
  atMost,
  aim,
})
const flat = (line: LineName, metric: string, atMost?: number): Goal => ({
  line,
  metric,
  reference: 'small',
  as: 'times',
  atMost,
})
const value = (line: LineName, metric: string, atMost?: number): Goal => ({
  line,
  metric,
  reference: null,
  as: 'value',
  atMost,
})
const exactly = (line: LineName, metric: string, wanted: number): Goal => ({
  ...value(line, metric, wanted),
  atLeast: wanted,
})

const mebibytes = 1024

export const goals: Goal[] = [
  share('throughput', 'jobs/s, c=1'),
  share('throughput', 'jobs/s, c=16', 40, 50),
  share('throughput', 'jobs/s, c=64', 45, 60),
  value('throughput', 'CPU ms a job, c=64', 2.2),
  over('throughput', 'whole job p50, c=1, ms', 10, 5),
  over('latency', 'first delta p50, c=1, ms', 3, 2),
  // It can be read either way; this is the stricter one.
  value('latency', 'first delta p99, c=16, ms', 40),
  value('latency', 'GET run p99, 64 executing, ms', 5),
  value('many', '500 runs of 5 s, s', 7.5),
  exactly('many', '500 runs of 5 s, not completed', 0),
  exactly('many', '10,000 runs at once, not completed', 0),
  value('many', '10,000 runs at once, RSS in flight MiB', mebibytes),
  value('many', '10,000 runs at once, GET run p99, ms', 100),
  value('many', '100,000 waiting, RSS more, MiB', 50),
  value('many', '100,000 waiting, CPU more, ms/s', 10),
  { line: 'many', metric: '100,000 waiting, jobs/s, c=16', reference: 'before', as: 'share', atLeast: 85 },
  flat('growth', 'run on the long thread, ms', 1.5),
  flat('growth', 'run, last_messages 20, ms', 1.5),
  flat('growth', 'page of messages, newest, ms', 1.5),
  flat('growth', 'page of messages, middle, ms', 1.5),
  flat('growth', 'page of steps, ms', 1.5),
  flat('growth', 'whole job on a new thread, ms', 1.5),
  exactly('streaming', 'streams that lost something', 0),
  value('streaming', 'event-loop delay p99, ms', 50),
  value('streaming', 'slow readers, RSS more, MiB each', 16),
  value('start', 'ready on a new DATA_DIR, ms', 5_000),
  value('start', 'ready on an existing DATA_DIR, ms', 1_000),
]
