import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { toFile } from 'openai'
import { toFile as toFile6 } from 'openai-6'
import { Compile } from 'typebox/compile'
import { FileObject } from '../src/contract/file-object.ts'
import { chunkSize } from '../src/store/file-chunks.ts'
import { missingFiles, readFileBytes } from '../src/store/files.ts'
import { purgeFiles } from '../src/store/file-uploads.ts'
import { startServer } from './support/server.ts'
import { fileRows, noFileRows, sweepFiles } from './support/stored-files.ts'

// Files that are uploaded, listed, read and deleted, as clients see it. What goes wrong is in uploads.test.ts.

const server = await startServer({ tuning: { sweepMs: 3_600_000 } })
const { client, client6, db } = server
const { pool } = server.app.store
const shape = Compile(FileObject)

/** Uploads a text, and checks that what comes back is a file and nothing else. */
async function upload(text: string | Buffer, name = 'a.txt', purpose: OpenAI.FilePurpose = 'assistants') {
  const made = await client.files.create({ file: await toFile(Buffer.from(text), name), purpose })
  assert.deepEqual(shape.Errors(made), [])
  return made
}

async function bytesOf(id: string): Promise<Buffer> {
  const response = await client.files.content(id)
  return Buffer.from(await response.arrayBuffer())
}

async function removeAll(): Promise<void> {
  for await (const { id } of client.files.list()) await client.files.delete(id)
}

const statusOf = async (path: string, init?: RequestInit) => (await server.fetch(path, init)).status

test('a file is shown as the official SDK knows it, and is processed at once', async () => {
  const before = Math.floor(Date.now() / 1000)
  const made = await upload('some words')
  assert.match(made.id, /^file-[0-9A-Za-z]{24}$/)
  assert.ok(made.created_at >= before - 1 && made.created_at <= before + 5)
  const { id, created_at, ...rest } = made
  assert.deepEqual(rest, {
    object: 'file',
    bytes: 10,
    filename: 'a.txt',
    purpose: 'assistants',
    status: 'processed',
  })
  assert.deepEqual(await client.files.retrieve(id), made)
  assert.deepEqual(await client.files.waitForProcessing(id), made)
  assert.equal(created_at, made.created_at)
})

test('the previous SDK uploads, reads, lists and deletes the same way', async () => {
  const made = await client6.files.create({
    purpose: 'user_data',
    file: await toFile6(Buffer.from([0, 255, 13, 10, 45, 45]), 'six.bin'),
    expires_after: { anchor: 'created_at', seconds: 7200 },
  })
  assert.equal(made.expires_at, made.created_at + 7200)
  assert.deepEqual(await client6.files.waitForProcessing(made.id), made)
  const content = await client6.files.content(made.id)
  assert.deepEqual(Buffer.from(await content.arrayBuffer()), Buffer.from([0, 255, 13, 10, 45, 45]))
  assert.equal((await client6.files.list({ purpose: 'user_data' })).data[0]?.id, made.id)
  assert.deepEqual(await client6.files.delete(made.id), { id: made.id, object: 'file', deleted: true })
})

test('every purpose of the schema is taken and shown, and one that only a server gives is refused', async () => {
  for (const purpose of ['assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'] as const) {
    assert.equal((await upload('x', 'a', purpose)).purpose, purpose)
  }
  await assert.rejects(upload('x', 'a', 'assistants_output' as OpenAI.FilePurpose), {
    status: 400,
    param: 'purpose',
    code: 'invalid_value',
    message: /Invalid value: 'assistants_output'\. Supported values are: 'assistants', 'batch',/,
  })
})

test('content comes back byte for byte, whatever its length is against the pieces it is stored in', async () => {
  const sizes = [1, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, 3 * chunkSize + 12_345]
  for (const size of sizes) {
    const content = randomBytes(size)
    // Looks like the end of the form in the middle of the file.
    content.write('\r\n--', Math.floor(size / 2))
    const made = await upload(content, 'random.bin')
    assert.equal(made.bytes, size)
    assert.ok((await bytesOf(made.id)).equals(content), `${size} bytes`)
  }
})

test('a file that is streamed from disk arrives whole', async () => {
  const path = new URL('./fixtures/assistants-v2.openapi.json', import.meta.url)
  const made = await client.files.create({ file: createReadStream(path), purpose: 'assistants' })
  assert.equal(made.filename, 'assistants-v2.openapi.json')
  const read = createHash('sha256')
  for await (const data of createReadStream(path)) read.update(data as Buffer)
  const stored = createHash('sha256').update(await bytesOf(made.id))
  assert.equal(stored.digest('hex'), read.digest('hex'))
})

test('a download says its type, length and name, and nothing that a browser would run', async () => {
  const made = await upload('<script>alert(1)</script>', 'page.html')
  const response = await server.fetch(`/v1/files/${made.id}/content`)
  const header = (name: string) => response.headers.get(name)
  assert.equal(header('content-type'), 'application/octet-stream')
  assert.equal(header('content-length'), '25')
  assert.equal(header('content-disposition'), 'attachment; filename="page.html"')
  assert.equal(header('x-content-type-options'), 'nosniff')
  assert.equal(await response.text(), '<script>alert(1)</script>')
  const head = await server.fetch(`/v1/files/${made.id}/content`, { method: 'HEAD' })
  assert.equal(head.status, 200)
  assert.equal(head.headers.get('content-length'), '25')
})

test('names with quotes, line breaks and other scripts come back as they were, and are safe in a header', async () => {
  const names = [
    'Gr\u00fc\u00dfe & K\u00fcsse.txt',
    'say "hi".txt',
    '\u5831\u544a\u66f8 \ud83d\udcc4.pdf',
    "it's (50%); x=1.txt",
    'two\r\nlines.txt',
    '100%.txt',
  ]
  for (const name of names) {
    const made = await upload('x', name)
    assert.equal(made.filename, name)
    const header = (await server.fetch(`/v1/files/${made.id}/content`)).headers.get('content-disposition')
    assert.match(
      header ?? '',
      /^attachment; filename="[ -~]*"(; filename\*=UTF-8''[A-Za-z0-9%._~!$&+^`|{}-]+)?$/,
    )
    const exact = /UTF-8''(.*)$/.exec(header ?? '')?.[1]
    assert.equal(exact && decodeURIComponent(exact), name)
  }
})

test('of a path only the last part is kept as the name', async () => {
  assert.equal((await upload('x', '../../etc/passwd')).filename, 'passwd')
})

test('five uploads at a time do not disturb each other', async () => {
  const contents = Array.from({ length: 5 }, (_, i) => randomBytes((i + 1) * 700_000))
  const made = await Promise.all(contents.map((content, i) => upload(content, `${i}.bin`)))
  const back = await Promise.all(made.map(({ id }) => bytesOf(id)))
  for (const [i, content] of contents.entries()) {
    assert.equal(made[i]?.filename, `${i}.bin`)
    assert.ok(back[i]?.equals(content), `file ${i}`)
  }
})

test('a list goes on behind a cursor in both orders, and can be of one purpose', async () => {
  await removeAll()
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.push((await upload('x', `${i}`, i % 2 ? 'vision' : 'assistants')).id)
  const list = async (query: OpenAI.FileListParams) =>
    (await client.files.list(query)).data.map(({ id }) => id)
  const newestFirst = ids.toReversed()
  assert.deepEqual(await list({}), newestFirst)
  assert.deepEqual(await list({ order: 'asc' }), ids)
  assert.deepEqual(await list({ limit: 2 }), newestFirst.slice(0, 2))
  assert.deepEqual(await list({ limit: 2, after: ids[3] ?? '' }), newestFirst.slice(2, 4))
  assert.deepEqual(await list({ order: 'asc', after: ids[1] ?? '' }), ids.slice(2))
  assert.deepEqual(await list({ purpose: 'vision' }), [ids[3], ids[1]])
  assert.deepEqual(await list({ purpose: 'vision', order: 'asc', after: ids[1] ?? '' }), [ids[3]])
  assert.deepEqual(await list({ purpose: 'no-such-purpose' }), [])
  const paged: string[] = []
  for await (const file of client.files.list({ limit: 2 })) paged.push(file.id)
  assert.deepEqual(paged, newestFirst)
  const page = (await (await server.fetch('/v1/files?limit=2')).json()) as Record<string, unknown>
  assert.equal(page['object'], 'list')
  assert.equal(page['first_id'], ids[4])
  assert.equal(page['last_id'], ids[3])
  assert.equal(page['has_more'], true)
})

test('a list has up to 10000 files unless asked for fewer, and refuses what it cannot give', async () => {
  await removeAll()
  await db.sql(`insert into files (id, project_id, created_at, filename, purpose, bytes)
    select 'file-' || i, 'default', 0, 'x', 'assistants', 1 from generate_series(1, 10001) i`)
  const page = await client.files.list()
  assert.equal(page.data.length, 10_000)
  assert.equal(page.has_more, true)
  await db.sql('delete from files')
  const refused = (param: string, code: string) => ({ status: 400, param, code })
  await assert.rejects(client.files.list({ limit: 10_001 }), refused('limit', 'integer_above_max_value'))
  await assert.rejects(client.files.list({ limit: 0 }), refused('limit', 'integer_below_min_value'))
  await assert.rejects(client.files.list({ after: 'file-none' }), refused('after', 'invalid_value'))
  await assert.rejects(client.files.list({ order: 'up' as 'asc' }), refused('order', 'invalid_value'))
})

test('an unknown file is not found, in the words of the original', async () => {
  const error = (id: string) => ({
    status: 404,
    type: 'invalid_request_error',
    code: null,
    param: 'id',
    message: `404 No such File object: ${id}`,
  })
  for (const id of ['file-0000000000000000', 'run_1', 'x']) {
    await assert.rejects(client.files.retrieve(id), error(id))
    await assert.rejects(client.files.delete(id), error(id))
    await assert.rejects(client.files.content(id), error(id))
  }
  assert.equal(await statusOf('/v1/files/file-%00'), 404)
})

test('a deleted file is gone at once, and its content with the next sweeps, a piece each', async () => {
  await removeAll()
  await sweepFiles(server)
  assert.deepEqual(await fileRows(server), noFileRows)
  const [made, kept] = [await upload(randomBytes(4 * chunkSize)), await upload('kept')]
  assert.deepEqual(await client.files.delete(made.id), { id: made.id, object: 'file', deleted: true })
  for (const path of ['', '/content']) assert.equal(await statusOf(`/v1/files/${made.id}${path}`), 404)
  assert.equal(await statusOf(`/v1/files/${made.id}`, { method: 'DELETE' }), 404)
  assert.equal((await client.files.list()).data.length, 1)
  const chunks: number[] = []
  for (let i = 0; i < 3; i++) {
    await purgeFiles(pool, 100, 2)
    chunks.push((await fileRows(server)).chunks)
  }
  assert.deepEqual(chunks, [3, 1, 1])
  assert.deepEqual(await fileRows(server), { ...noFileRows, files: 1, chunks: 1 })
  assert.equal((await bytesOf(kept.id)).toString(), 'kept')
})

test('a file expires when it was told to, and is invisible from that second on', async () => {
  await removeAll()
  const file = await toFile(Buffer.from('short'), 'short.txt')
  const made = await client.files.create({
    file,
    purpose: 'assistants',
    expires_after: { anchor: 'created_at', seconds: 3600 },
  })
  const stays = await upload('long')
  assert.equal(made.expires_at, made.created_at + 3600)
  assert.equal(stays.expires_at, undefined)
  await db.advanceClock(3590)
  assert.equal((await client.files.retrieve(made.id)).id, made.id)
  await db.advanceClock(11)
  for (const path of ['', '/content']) assert.equal(await statusOf(`/v1/files/${made.id}${path}`), 404)
  assert.equal(await statusOf(`/v1/files/${made.id}`, { method: 'DELETE' }), 404)
  assert.equal(await statusOf(`/v1/files?after=${made.id}`), 400)
  assert.deepEqual(
    (await client.files.list()).data.map(({ id }) => id),
    [stays.id],
  )
  assert.deepEqual(await missingFiles(pool, 'default', [made.id, stays.id]), [made.id])
  await sweepFiles(server)
  assert.deepEqual(await fileRows(server), { ...noFileRows, files: 1, chunks: 1 })
})

test('a file of a batch expires after 30 days unless it was told otherwise', async () => {
  const made = await upload('{}', 'requests.jsonl', 'batch')
  assert.equal(made.expires_at, made.created_at + 30 * 86_400)
})

test('a file is read whole for the model up to a limit, and not at all by another project', async () => {
  const content = randomBytes(2 * chunkSize + 7)
  const { id } = await upload(content, 'photo.png')
  const read = await readFileBytes(pool, 'default', id, content.length)
  assert.ok(typeof read === 'object' && read.bytes.equals(content))
  assert.equal(read.filename, 'photo.png')
  assert.equal(await readFileBytes(pool, 'default', id, content.length - 1), 'too_large')
  assert.equal(await readFileBytes(pool, 'other', id, content.length), 'missing')
  assert.equal(await readFileBytes(pool, 'default', 'file-none', 1), 'missing')
})

test('files that are missing are named in the order in which they were asked for', async () => {
  const { id } = await upload('x')
  const asked = ['file-b', id, 'file-a', 'file-b']
  assert.deepEqual(await missingFiles(pool, 'default', asked), ['file-b', 'file-a', 'file-b'])
  assert.deepEqual(await missingFiles(pool, 'other', [id]), [id])
  assert.deepEqual(await missingFiles(pool, 'default', []), [])
})

test('files outlive a restart', async () => {
  const { id } = await upload('still here', 'kept.txt')
  await server.restart()
  const response = await server.client.files.content(id)
  assert.equal(await response.text(), 'still here')
})
