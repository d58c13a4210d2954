import type { Stage } from './campaign.ts'
import type { Injected } from './faults.ts'
import type { Jobs, Kind } from './jobs.ts'
import type { NodeProcess } from './node-process.ts'
import type { Moment } from './pg-gate.ts'

// Nothing at random: each kind of job is done again and again, and its server is killed one statement later each time,
// before the statement, behind it, and behind its answer, until two jobs in succession have ended before the point: how
// many statements a job takes varies a little.

const kinds: readonly Kind[] = ['plain', 'atOnce', 'tool', 'stream', 'cancel', 'queue', 'replace', 'delete']
const moments: readonly Moment[] = ['before', 'unanswered', 'answered']

/** Kills a server at every statement of every kind of job that goes over the connection for writes. */
export function everyPoint(ofKinds: readonly Kind[] = kinds, at: readonly Moment[] = moments) {
  return async (stage: Stage): Promise<Injected> => {
    const injected: Injected = { counts: new Map(), struck: new Map(), strikes: [] }
    const lives = ofKinds.flatMap((kind) => at.map((moment) => ({ kind, moment })))
    await Promise.all(
      stage.cluster.nodes.map(async (node) => {
        // Each server has one job at a time: what breaks belongs to it.
        for (let life = lives.shift(); life; life = lives.shift()) {
          let missed = 0
          for (let skip = 0; missed < 2; skip++) {
            missed = (await strike(stage, injected, node, { ...life, skip })) ? 0 : missed + 1
            if (injected.strikes.length % 20 === 0) stage.tell()
          }
        }
      }),
    )
    return injected
  }
}

interface Point {
  kind: Kind
  moment: Moment
  skip: number
}

/** One job, with one kill. False if it ended before the point was reached. */
async function strike(
  { cluster, jobs }: Stage,
  { counts, struck, strikes }: Injected,
  node: NodeProcess,
  { kind, moment, skip }: Point,
): Promise<boolean> {
  await node.ready()
  // All goes by way of this server until it is dead.
  const nodes = [node]
  const own: Jobs = jobs({ keyed: 1, nodes })
  let killed = false
  node.gate.arm({ name: '', sends: [], moment, writes: true, skip }, () => {
    killed = node.kill()
    const at = performance.now()
    strikes.push({ kind: 'kill at a stop point', at, until: at, node: node.name })
    nodes.splice(0, 1, ...cluster.nodes)
  })
  await own.one(kind)
  node.gate.arm(null, () => {})
  if (!killed) return false
  counts.set('kill at a stop point', (counts.get('kill at a stop point') ?? 0) + 1)
  struck.set(`${kind}, statement ${skip + 1}, ${moment}`, 1)
  return true
}
