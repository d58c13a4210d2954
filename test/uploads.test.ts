import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect, Socket } from 'node:net'
import { test } from 'node:test'
import pg from 'pg'
import { chunkSize, storeContent } from '../src/store/file-chunks.ts'
import { beginUpload, finishUpload } from '../src/store/file-uploads.ts'
import { chunked, field, file, formBytes, openUpload } from './support/form.ts'
import { startServer } from './support/server.ts'
import { fileRows, noFileRows, sweepFiles } from './support/stored-files.ts'

// Files on their way in and out: what they cost, and what is left when the way is cut off.

const limit = 70 * 1024 * 1024
const server = await startServer({ env: { MAX_FILE_BYTES: String(limit) } })
const { db } = server
const { pool } = server.app.store
const megabyte = 1024 * 1024
const purpose = field('purpose', 'assistants')

/** What is left after the sweeps that it takes. */
async function left(): Promise<object> {
  await sweepFiles(server)
  return fileRows(server)
}

async function removeAll(): Promise<void> {
  for await (const { id } of server.client.files.list()) await server.client.files.delete(id)
  await sweepFiles(server)
}

/** Waits until `look` answers true; what it looks at is under way. */
async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await look())) await new Promise(setImmediate)
}

/** The number that `read` settles at: it has not changed for a fifth of a second. */
async function settled(read: () => number): Promise<number> {
  let [last, since] = [read(), performance.now()]
  await until(() => {
    if (read() !== last) [last, since] = [read(), performance.now()]
    return performance.now() - since > 200
  })
  return last
}

test('a file above the limit is refused at once by its announced length', async () => {
  const head = formBytes([purpose, file('')], '').subarray(0, -2)
  const { answer, socket } = await openUpload(server.app.url, head, 2 * limit)
  const text = await answer()
  assert.match(text, /^HTTP\/1\.1 413 /)
  assert.match(
    text,
    new RegExp(`"message":"Invalid 'file': it is larger than the limit of ${limit} bytes\\."`),
  )
  assert.match(text, /"param":"file"/)
  socket.destroy()
})

test('a file that outgrows the limit while it comes is refused while it comes, and nothing of it stays', async () => {
  const { answer, socket } = await openUpload(
    server.app.url,
    chunked(formBytes([purpose, file('')], '').subarray(0, -2)),
  )
  const closed = new Promise((resolve) => socket.once('close', resolve))
  let sent = 0
  const piece = chunked(randomBytes(megabyte))
  const send = () => {
    if (socket.destroyed) return
    sent += megabyte
    socket.write(piece, send)
  }
  send()
  assert.match(await answer(), /^HTTP\/1\.1 413 .*larger than the limit of 73400320 bytes/s)
  assert.ok(sent >= limit)
  // The client goes on without end: it is not listened to for long.
  await closed
  assert.deepEqual(await left(), noFileRows)
})

test('a client that is refused early may send its file to the end and go on with the same connection', async () => {
  const form = formBytes([field('colour', 'red'), file(randomBytes(2 * megabyte)), purpose])
  const { answer, socket } = await openUpload(server.app.url, form.subarray(0, 1_000), form.length)
  assert.match(await answer(), /^HTTP\/1\.1 400 .*Unknown parameter: 'colour'/s)
  socket.write(form.subarray(1_000))
  socket.write('GET /v1/files?limit=1 HTTP/1.1\r\nhost: localhost\r\n\r\n')
  assert.match(await answer(/"object":"list".*\}$/s), /HTTP\/1\.1 200 OK.*"object":"list"/s)
  socket.destroy()
})

test('the SDK gets to read that its file is too large', async () => {
  const content = new File([Buffer.alloc(limit + 1)], 'large.bin')
  await assert.rejects(server.client.files.create({ file: content, purpose: 'assistants' }), {
    status: 413,
    param: 'file',
    message: /larger than the limit of 73400320 bytes/,
  })
  assert.deepEqual(await left(), noFileRows)
})

test('a client that leaves in the middle leaves nothing behind', async () => {
  const bytes = formBytes([purpose, file(randomBytes(3 * megabyte))], '')
  const { socket } = await openUpload(server.app.url, bytes, 10 * megabyte)
  await until(async () => (await fileRows(server)).chunks >= 11)
  assert.deepEqual((await server.client.files.list()).data, [])
  socket.destroy()
  await until(async () => (await fileRows(server)).uploads === 0)
  assert.deepEqual(await left(), noFileRows)
})

test('an upload whose server died is removed after an hour, and cannot be finished then', async () => {
  await beginUpload(pool, 'default', 'file-left')
  await storeContent(pool, 'default', 'file-left', pieces(2, chunkSize), limit)
  assert.deepEqual(await left(), { ...noFileRows, uploads: 1, chunks: 2 }, 'it may still come in')
  await db.advanceClock(3601)
  assert.deepEqual(await left(), noFileRows)
  assert.equal(await storeContent(pool, 'default', 'file-left', pieces(1, 10), limit), 'gone')
  const end = {
    id: 'file-left',
    project_id: 'default',
    filename: 'x',
    purpose: 'evals',
    bytes: 10,
    ttl: null,
  } as const
  assert.equal(await finishUpload(pool, end), null)
  assert.deepEqual(await left(), noFileRows)
})

async function* pieces(count: number, length: number): AsyncGenerator<Buffer, void> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(length, i)
}

test('no more of an upload is asked for than the piece that is being stored', async () => {
  await beginUpload(pool, 'default', 'file-slow')
  let [asked, most] = [0, 0]
  async function* content(): AsyncGenerator<Buffer, void> {
    for (let i = 0; i < 200; i++) {
      const [stored] = await db.sql<{ n: string }>(
        `select count(*) n from file_chunks where file_id = 'file-slow'`,
      )
      most = Math.max(most, asked - Number(stored?.n) * chunkSize)
      asked += 50_000
      yield Buffer.alloc(50_000, i)
    }
  }
  assert.equal(await storeContent(pool, 'default', 'file-slow', content(), limit), 10_000_000)
  assert.ok(most <= chunkSize + 50_000, `${most} bytes were held at a time`)
  await db.advanceClock(3601)
  assert.deepEqual(await left(), noFileRows)
})

test('while the database does not take a piece, the client cannot send on', async () => {
  const content = randomBytes(60 * megabyte)
  const bytes = formBytes([purpose, file(content)])
  const holder = new pg.Client({ connectionString: db.url })
  await holder.connect()
  await holder.query('begin')
  await holder.query('lock table file_chunks in share mode')
  const { answer, socket } = await openUpload(server.app.url, bytes, bytes.length)
  // What is not in our hands any more is in the kernel's buffers or with the server.
  const taken = await settled(() => socket.bytesWritten - socket.writableLength)
  assert.ok(taken < 20 * megabyte, `${taken} bytes were taken`)
  await holder.query('rollback')
  await holder.end()
  const text = await answer()
  assert.match(text, /^HTTP\/1\.1 200 /)
  const id = /"id":"([^"]+)"/.exec(text)?.[1] ?? ''
  const back = Buffer.from(await (await server.client.files.content(id)).arrayBuffer())
  assert.ok(back.equals(content))
  socket.destroy()
})

type Query = (...args: unknown[]) => unknown

/**
 * Shows `look` each call of pg that sends the statement of this name, until `end` is called. The last of the call's
 * arguments is who gets the answer.
 */
function watchStatements(name: string, look: (args: unknown[]) => void, lost?: Error): { end(): void } {
  const { query } = pg.Client.prototype as { query: Query }
  const watched = function (this: pg.Client, ...args: unknown[]) {
    if ((args[0] as { name?: string }).name !== name) return query.apply(this, args)
    look(args)
    const done = query.apply(this, args)
    if (!lost) return done
    return (done as Promise<unknown>).then(() => {
      throw lost
    })
  }
  Object.assign(pg.Client.prototype, { query: watched })
  return { end: () => void Object.assign(pg.Client.prototype, { query }) }
}

test('while the reader of a download stands still, nothing is read for it', async () => {
  const content = new File([randomBytes(60 * megabyte)], 'large.bin')
  const { id } = await server.client.files.create({ file: content, purpose: 'assistants' })
  let reads = 0
  const watch = watchStatements('get_file_chunk', () => (reads += 1))
  const { hostname, port } = new URL(server.app.url)
  const socket = connect(Number(port), hostname)
  socket.write(`GET /v1/files/${id}/content HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  await until(() => reads > 0)
  const chunks = content.size / chunkSize
  const read = await settled(() => reads)
  assert.ok(read < chunks / 2, `${read} of ${chunks} pieces were read`)
  socket.destroy()
  assert.ok((await settled(() => reads)) < chunks, 'a reader that left is forgotten')
  watch.end()
})

type SetTimeout = (this: Socket, ms: number, listener?: () => void) => Socket

/** The server's end of the next connection that is told to give up after a minute without a byte. */
function nextWithPatience(): Promise<Socket> {
  const sockets = Socket.prototype as { setTimeout: SetTimeout }
  const genuine = sockets.setTimeout
  return new Promise((resolve) => {
    sockets.setTimeout = function (ms, listener) {
      if (ms === 60_000) {
        sockets.setTimeout = genuine
        resolve(this)
      }
      return genuine.call(this, ms, listener)
    }
  })
}

test('a client that stands still for a minute in the middle of an upload is cut off, and nothing of it stays', async () => {
  await removeAll()
  const waiting = nextWithPatience()
  const { socket } = await openUpload(server.app.url, formBytes([purpose, file('x')], ''), 10 * megabyte)
  const served = await waiting
  await until(async () => (await fileRows(server)).uploads === 1)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  served.emit('timeout')
  await closed
  await until(async () => (await fileRows(server)).uploads === 0)
  assert.deepEqual(await left(), noFileRows)
})

test('a client that stands still for a minute in the middle of a download is cut off', async () => {
  const content = new File([randomBytes(60 * megabyte)], 'large.bin')
  const { id } = await server.client.files.create({ file: content, purpose: 'assistants' })
  const waiting = nextWithPatience()
  const response = await server.client.files.content(id)
  const served = await waiting
  served.emit('timeout')
  await assert.rejects(response.arrayBuffer())
})

test('a download whose file is removed meanwhile is cut off: it never passes for whole', async () => {
  const content = new File([randomBytes(60 * megabyte)], 'large.bin')
  const { id } = await server.client.files.create({ file: content, purpose: 'assistants' })
  const response = await server.client.files.content(id)
  await server.client.files.delete(id)
  assert.deepEqual((await left()) as object, (await fileRows(server)) as object)
  await assert.rejects(response.arrayBuffer())
})

test('a file is answered although the word of the database that it was made is lost', async () => {
  const content = new File(['x'], 'x.txt')
  const lost = new Error('Connection terminated unexpectedly')
  const deaf = watchStatements('finish_file_upload', () => {}, lost)
  try {
    const made = await server.client.files.create({ file: content, purpose: 'assistants' })
    assert.deepEqual(await server.client.files.retrieve(made.id), made)
  } finally {
    deaf.end()
  }
})

test('a file that the database could not finish is not there', async () => {
  await removeAll()
  const broken = watchStatements('finish_file_upload', () => {
    throw new Error('Connection terminated unexpectedly')
  })
  const content = new File(['x'], 'x.txt')
  try {
    await assert.rejects(server.client.files.create({ file: content, purpose: 'assistants' }), {
      status: 503,
    })
  } finally {
    broken.end()
  }
  assert.deepEqual(await left(), noFileRows)
})
