import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net'

// A proxy between one server and Postgres, which sees each statement. It stops where a campaign wants to strike: before
// a commit goes out, when its answer has come and was not handed on, and right behind that.

export type Moment = 'before' | 'unanswered' | 'answered'

export interface StopPoint {
  name: string
  /** Texts that are all in what goes to Postgres. */
  sends: readonly string[]
  moment: Moment
  /** Only what goes over the connection for writes. */
  writes?: boolean
  /** So many that fit are let through first. */
  skip?: number
}

const commit = 'commit_thread_writes'
/** As a write of this kind goes out, and the status of a run behind its metadata (thread-write-rows.ts). */
const writeOf = (kind: string) => [commit, `,"${kind}","`]
const advanceTo = (status: string) => [...writeOf('advance'), `},"${status}",`]

/** Every commit of a run's life, and what else changes a run. */
const commits: Record<string, readonly string[]> = {
  'create thread': writeOf('create_thread'),
  'add message': writeOf('append'),
  'create run': writeOf('create_run'),
  'start or open items': advanceTo('in_progress'),
  'log deltas': writeOf('log'),
  'ask for outputs': advanceTo('requires_action'),
  'take outputs': advanceTo('queued'),
  'ask to cancel': advanceTo('cancelling'),
  cancelled: advanceTo('cancelled'),
  completed: advanceTo('completed'),
  'wait for the thread': writeOf('enqueue'),
  'hand the thread on': ['admit_to_threads'],
  'delete thread': writeOf('delete_thread'),
  claim: ['claim_runs'],
  beat: ['beat'],
}

/** Each commit, struck at each moment. */
export const stopPoints: readonly StopPoint[] = Object.entries(commits).flatMap(([name, sends]) =>
  (['before', 'unanswered', 'answered'] as const).map((moment) => ({
    name: `${name}, ${moment}`,
    sends,
    moment,
  })),
)

export interface PgGate {
  /** The database's URL by way of the gate. */
  url: string
  /** Calls `strike` once, at the next time that the point is reached; null takes it back. */
  arm(point: StopPoint | null, strike: () => void): void
  /** Passes nothing on any more and closes nothing. */
  blackHole: boolean
  cutAll(): void
  close(): Promise<void>
}

export async function startPgGate(target: string): Promise<PgGate> {
  const to = new URL(target)
  const folder = to.searchParams.get('host')
  const port = Number(to.port || to.searchParams.get('port') || 5432)
  const sockets = new Set<Socket>()
  let armed: { point: StopPoint; skip: number; strike: () => void } | null = null
  const take = (sent: string, forWrites: boolean, moment: Moment): (() => void) | null => {
    if (armed === null || sent === '' || armed.point.moment !== moment) return null
    if (armed.point.writes && !forWrites) return null
    if (!armed.point.sends.every((text) => sent.includes(text)) || armed.skip-- > 0) return null
    const { strike } = armed
    armed = null
    return strike
  }
  const server = createServer((client) => {
    const upstream = folder
      ? createConnection(`${folder}/.s.PGSQL.${port}`)
      : createConnection(port, to.hostname)
    let sent = ''
    let forWrites = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('data', (bytes) => {
      if (gate.blackHole) return
      sent = armed === null ? '' : bytes.toString('latin1')
      const strike = take(sent, forWrites, 'before')
      if (bytes.includes('application_name\0threadmill writes\0')) forWrites = true
      if (strike) strike()
      else upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (gate.blackHole) return
      const lost = take(sent, forWrites, 'unanswered')
      if (lost) return lost()
      client.write(bytes)
      const behind = take(sent, forWrites, 'answered')
      sent = ''
      if (behind) setImmediate(behind)
    })
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(target)
  url.searchParams.delete('host')
  url.searchParams.delete('port')
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  const gate: PgGate = {
    url: url.href,
    blackHole: false,
    arm(point, strike) {
      armed = point && { point, skip: point.skip ?? 0, strike }
    },
    cutAll() {
      for (const socket of sockets) socket.destroy()
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        gate.cutAll()
      }),
  }
  return gate
}
