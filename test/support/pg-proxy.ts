import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net'
import { atEnd } from './database.ts'

// A proxy in front of Postgres that breaks connections where it hurts: after a statement has been done and before
// its answer is told, or without a word.

export interface PgProxy {
  /** The database's URL by way of the proxy. */
  url: string
  /** Answers of `statement` (by the name it was prepared under) still to be lost, each with its connection. */
  loseAnswersOf(statement: string, count: number): void
  /** Answers lost so far. */
  lost: number
  /** Passes nothing on any more and closes nothing: a half-open connection. */
  blackHole: boolean
  /** Breaks all connections. */
  cutAll(): void
}

/** Starts a proxy to the database of `target` for the tests of this file. */
export async function startPgProxy(target: string): Promise<PgProxy> {
  const to = new URL(target)
  const socketFolder = to.searchParams.get('host')
  const port = Number(to.port || to.searchParams.get('port') || 5432)
  let [losing, left] = ['', 0]
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = socketFolder
      ? createConnection(`${socketFolder}/.s.PGSQL.${port}`)
      : createConnection(port, to.hostname)
    let armed = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('data', (bytes) => {
      if (proxy.blackHole) return
      if (left > 0 && bytes.includes(losing)) {
        armed = true
        left -= 1
      }
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (proxy.blackHole) return
      if (!armed) return void client.write(bytes)
      // ReadyForQuery is the last message of an answer: what was asked for has been committed.
      if (!bytes.subarray(-6).equals(readyForQuery)) return
      proxy.lost += 1
      client.destroy()
      upstream.destroy()
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
  const proxy: PgProxy = {
    url: url.href,
    lost: 0,
    blackHole: false,
    cutAll() {
      for (const socket of sockets) socket.destroy()
    },
    loseAnswersOf(statement, count) {
      ;[losing, left] = [statement, count]
    },
  }
  atEnd(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return proxy
}

/** The message Z with its length 5 and status "idle". */
const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])
