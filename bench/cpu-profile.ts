// Where the samples of a V8 CPU profile fell, by function and by owner.

interface ProfileNode {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number }
  children?: number[]
}

export interface CpuProfile {
  nodes: ProfileNode[]
  /** Microseconds, of the monotonic clock. */
  startTime: number
  samples: number[]
  timeDeltas: number[]
}

export interface SelfTime {
  /** A function with its place, or an owner. */
  what: string
  /** Percent of the time that the process was busy. */
  percent: number
  ms: number
}

export interface ProfileSummary {
  busyMs: number
  /** Percent of the time between the two moments. */
  idlePercent: number
  functions: SelfTime[]
  owners: SelfTime[]
  /** By the nearest caller that is a room of src or a package: on whose behalf Node and the kernel worked. */
  behalf: SelfTime[]
}

const native = '(program)'

/** What lies between two moments of the monotonic clock, in milliseconds. */
export function summarise(profile: CpuProfile, fromMs: number, toMs: number): ProfileSummary {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const byFunction = new Map<string, number>()
  const byOwner = new Map<string, number>()
  const byBehalf = new Map<string, number>()
  const parents = new Map(
    profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)),
  )
  let [at, busy, idle] = [profile.startTime, 0, 0]
  profile.samples.forEach((id, i) => {
    const delta = profile.timeDeltas[i] ?? 0
    at += delta
    const node = nodes.get(id)
    if (!node || at < fromMs * 1_000 || at > toMs * 1_000) return
    if (node.callFrame.functionName === '(idle)') {
      idle += delta
      return
    }
    busy += delta
    add(byFunction, placeOf(node), delta)
    add(byOwner, ownerOf(node), delta)
    add(byBehalf, behalfOf(node, parents), delta)
  })
  const sorted = (times: Map<string, number>): SelfTime[] =>
    [...times]
      .toSorted(([, a], [, b]) => b - a)
      .map(([what, time]) => ({ what, percent: (100 * time) / busy, ms: time / 1_000 }))
  return {
    busyMs: busy / 1_000,
    idlePercent: (100 * idle) / (busy + idle),
    functions: sorted(byFunction),
    owners: sorted(byOwner),
    behalf: sorted(byBehalf),
  }
}

function add(times: Map<string, number>, key: string, delta: number): void {
  times.set(key, (times.get(key) ?? 0) + delta)
}

function placeOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  if (functionName.startsWith('(') && url === '') return functionName
  const name = functionName || '(anonymous)'
  const place = url.replace(/^.*\/node_modules\//, '').replace(/^.*\/(?=src\/)/, '')
  return url === '' ? `${name} [native]` : `${name} ${place}:${lineNumber + 1}`
}

function behalfOf(node: ProfileNode, parents: Map<number, ProfileNode>): string {
  const writes = /^write(v|Utf8String|Latin1String|Buffer)$/.test(node.callFrame.functionName)
  for (let at: ProfileNode | undefined = node; at; at = parents.get(at.id)) {
    const owner = ownerOf(at)
    if (/^(node:|native:|\()/.test(owner)) continue
    return writes ? `socket writes of ${owner}` : owner
  }
  return writes ? 'socket writes of Node' : 'Node itself'
}

/** A room of src, a package, Node, or what V8 names. */
function ownerOf({ callFrame: { functionName, url } }: ProfileNode): string {
  if (url === '') return functionName.startsWith('(') ? functionName : `native: ${functionName || native}`
  const own = /\/src\/([\w-]+)/.exec(url)
  if (own && !url.includes('/node_modules/')) return `src/${own[1]}`
  const [, packageName] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url) ?? []
  if (packageName) return packageName
  return url.startsWith('node:') ? 'node:' + (url.slice(5).replace('internal/', '').split('/')[0] ?? '') : url
}
