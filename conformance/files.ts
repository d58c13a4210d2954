import assert from 'node:assert/strict'
import { check, shows, type Check } from './check.ts'
import { times, v2, type ErrorFields, type Target } from './target.ts'

const create = '§4 Files POST /files'
const purposes = ['assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'] as const

/** A form with these fields; the file first or last, since no order is promised. */
function form(
  fields: Record<string, string>,
  file: File | null = new File(['Corn.'], 'corn.txt'),
  last = false,
): FormData {
  const made = new FormData()
  if (file && !last) made.append('file', file)
  for (const [name, value] of Object.entries(fields)) made.append(name, value)
  if (file && last) made.append('file', file)
  return made
}

async function refused(t: Target, body: FormData, expected: Partial<ErrorFields>): Promise<void> {
  const { status, json, text } = await t.raw<{ error: ErrorFields }>('POST', '/v1/files', body)
  assert.equal(status, 400, text)
  shows(json.error, { type: 'invalid_request_error', ...expected })
}

export const fileChecks: Check[] = [
  check('files.create', [create, '§2 file'], async (t) => {
    const file = await t.file('Cörn.')
    shows(file, { object: 'file', bytes: 6, filename: 'corn.txt', purpose: 'assistants' })
    assert.ok(['uploaded', 'processed'].includes(file.status))
    assert.ok(Math.abs(file.created_at - Date.now() / 1000) < 300, 'seconds')
  }),
  ...purposes.map((purpose) =>
    check(`files.create.purpose-${purpose}`, create, async (t) => {
      assert.equal((await t.file('{}', purpose)).purpose, purpose)
    }),
  ),
  check('files.create.parts-in-any-order', create, async (t) => {
    for (const last of [false, true]) {
      const { status, text } = await t.raw(
        'POST',
        '/v1/files',
        form({ purpose: 'assistants' }, undefined, last),
      )
      assert.equal(status, 200, text)
    }
  }),
  check('files.create.expires-after', create, async (t) => {
    for (const seconds of [3_600, 2_592_000]) {
      const file = await t.client.files.create({
        file: new File(['x'], 'x.txt'),
        purpose: 'assistants',
        expires_after: { anchor: 'created_at', seconds },
      })
      assert.equal(file.expires_at, file.created_at + seconds)
    }
  }),
  check('files.create.refuses-bad-expiries', create, async (t) => {
    const expiring = (anchor: string, seconds: string) =>
      form({ purpose: 'assistants', 'expires_after[anchor]': anchor, 'expires_after[seconds]': seconds })
    await refused(t, expiring('created_at', '3599'), { code: 'integer_below_min_value' })
    await refused(t, expiring('created_at', '2592001'), { code: 'integer_above_max_value' })
    await refused(t, expiring('last_active_at', '3600'), { code: 'invalid_value' })
  }),
  check('files.create.refuses-no-purpose', [create, '§9 missing field'], (t) =>
    refused(t, form({}), { code: 'missing_required_parameter', param: 'purpose' }),
  ),
  check('files.create.refuses-no-file', [create, '§9 missing field'], (t) =>
    refused(t, form({ purpose: 'assistants' }, null), { code: 'missing_required_parameter', param: 'file' }),
  ),
  check('files.create.refuses-another-purpose', [create, '§9 enum'], (t) =>
    refused(t, form({ purpose: 'fun' }), { code: 'invalid_value', param: 'purpose' }),
  ),
  check('files.create.refuses-json', create, async (t) => {
    const { status } = await t.post('/v1/files', { purpose: 'assistants' })
    assert.ok(status === 400 || status === 415, String(status))
  }),
  check('files.create.names', create, async (t) => {
    for (const name of ['größe 1.txt', 'a b.md', '“mill”.json']) {
      const file = await t.client.files.create({ file: new File(['x'], name), purpose: 'assistants' })
      assert.equal(file.filename, name)
    }
  }),
  check('files.create.empty', create, async (t) => {
    const { status, json } = await t.raw<{ bytes: number }>(
      'POST',
      '/v1/files',
      form({ purpose: 'assistants' }, new File([], 'empty.txt')),
    )
    if (status === 200) assert.equal(json.bytes, 0)
    else assert.equal(status, 400)
  }),
  check('files.retrieve', '§4 Files GET /files/{id}', async (t) => {
    const file = await t.file()
    const seen = await t.client.files.retrieve(file.id)
    assert.deepEqual({ ...seen, status: '' }, { ...file, status: '' })
  }),
  check('files.content', '§4 Files GET /files/{id}/content', async (t) => {
    const { id } = await t.file('Cörn.')
    for (const accept of ['application/binary', '*/*']) {
      const { status, text } = await t.raw(
        'GET',
        `/v1/files/${id}/content`,
        undefined,
        { ...v2, accept },
        fetch,
      )
      assert.deepEqual([status, text], [200, 'Cörn.'])
    }
  }),
  check('files.content.every-byte', '§4 Files GET /files/{id}/content', async (t) => {
    // More than one piece of whatever size it is kept in, with every byte value.
    const bytes = Uint8Array.from({ length: 3_000_001 }, (_, at) => (at * 7 + (at >> 8)) % 256)
    const { id, bytes: counted } = await t.client.files.create({
      file: new File([bytes], 'bytes.bin'),
      purpose: 'user_data',
    })
    assert.equal(counted, bytes.length)
    const back = new Uint8Array(await (await t.client.files.content(id)).arrayBuffer())
    assert.equal(Buffer.compare(back, bytes), 0)
  }),
  check('files.content.json-stays-text', '§4 Files GET /files/{id}/content', async (t) => {
    const { id } = await t.client.files.create({
      file: new File(['{"a": 1}'], 'a.json', { type: 'application/json' }),
      purpose: 'assistants',
    })
    assert.equal(await (await t.client.files.content(id)).text(), '{"a": 1}')
  }),
  check('files.delete', '§4 Files DELETE', async (t) => {
    const { id } = await t.file()
    const gone = await t.raw('DELETE', `/v1/files/${id}`)
    assert.deepEqual([gone.status, gone.json], [200, { id, object: 'file', deleted: true }])
    const expected = { status: 404, param: 'id', code: null, text: `No such File object: ${id}` }
    await t.refused('GET', `/v1/files/${id}`, undefined, expected)
    await t.refused('GET', `/v1/files/${id}/content`, undefined, expected)
    await t.refused('DELETE', `/v1/files/${id}`, undefined, expected)
  }),
  check('files.list.by-purpose', ['§4 Files GET /files', '§3 Extra filters'], async (t) => {
    const [one, other] = await Promise.all([t.file('a', 'evals'), t.file('b', 'user_data')])
    const { data } = await t.client.files.list({ purpose: 'evals' })
    const ids = data.map(({ id }) => id)
    assert.ok(ids.includes(one.id) && !ids.includes(other.id))
    for (const { purpose } of data) assert.equal(purpose, 'evals')
  }),
  check('files.processed-at-once', ['§4 Files GET /files/{id}', 'SDK files.waitForProcessing'], async (t) => {
    const { id } = await t.file()
    const since = performance.now()
    const file = await t.client.files.waitForProcessing(id)
    assert.equal(file.status, 'processed')
    assert.ok(performance.now() - since < 4_000)
  }),
  check('files.create.side-by-side', 'SDK files.create', async (t) => {
    const files = await Promise.all(times(8, (n) => t.file(`File ${n}.`)))
    const texts = await Promise.all(files.map(async ({ id }) => (await t.client.files.content(id)).text()))
    assert.deepEqual(
      texts,
      times(8, (n) => `File ${n}.`),
    )
  }),
  check('files.content.sdk', 'SDK files.content', async (t) => {
    const { id } = await t.file('Corn, stone.')
    assert.equal(await (await t.client.files.content(id)).text(), 'Corn, stone.')
  }),
]
