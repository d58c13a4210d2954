import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boundary, chunked, field, file, formBytes, formType, openUpload } from './support/form.ts'
import { startServer } from './support/server.ts'
import { fileRows, noFileRows, sweepFiles } from './support/stored-files.ts'

// The form of an upload: which it takes, and what it says of those that it does not take.

const server = await startServer()

interface Answer {
  status: number
  error: { message: string; type: string; param: string | null; code: string | null } | undefined
}

async function post(body: Buffer<ArrayBuffer> | string, contentType = formType): Promise<Answer> {
  const headers = { 'content-type': contentType }
  const response = await server.fetch('/v1/files', { method: 'POST', headers, body })
  const { error } = (await response.json()) as { error?: Answer['error'] }
  return { status: response.status, error }
}

const purpose = field('purpose', 'assistants')
const cases: [
  what: string,
  body: Buffer<ArrayBuffer> | string,
  param: string | null,
  code: string | null,
  text: RegExp,
][] = [
  [
    'no file',
    formBytes([purpose]),
    'file',
    'missing_required_parameter',
    /^Missing required parameter: 'file'\.$/,
  ],
  [
    'no purpose',
    formBytes([file('x')]),
    'purpose',
    'missing_required_parameter',
    /^Missing required parameter: 'purpose'\.$/,
  ],
  ['no part at all', formBytes([]), 'file', 'missing_required_parameter', /'file'/],
  ['an empty body', '', 'file', 'missing_required_parameter', /'file'/],
  ['an empty file', formBytes([purpose, file('')]), 'file', 'invalid_value', /the file is empty/],
  [
    'bytes without a name',
    formBytes([purpose, ['name="file"\r\nContent-Type: application/octet-stream', 'x']]),
    'file',
    'invalid_type',
    /filename/,
  ],
  ['a file without a name', formBytes([purpose, file('x', '')]), 'file', 'invalid_type', /filename/],
  [
    'a text as file',
    formBytes([purpose, field('file', 'x')]),
    'file',
    'invalid_type',
    /expected a file with a filename, but got a string/,
  ],
  [
    'a file as purpose',
    formBytes([['name="purpose"; filename="p"', 'batch']]),
    'purpose',
    'invalid_type',
    /expected a string, but got a file/,
  ],
  [
    'another file',
    formBytes([purpose, ['name="image"; filename="i"', 'x']]),
    'image',
    'unknown_parameter',
    /^Unknown parameter: 'image'\.$/,
  ],
  [
    'an unknown field',
    formBytes([field('colour', 'red'), purpose, file('x')]),
    'colour',
    'unknown_parameter',
    /^Unknown parameter: 'colour'\.$/,
  ],
  [
    'a field with the name of a method',
    formBytes([field('toString', 'x'), purpose, file('x')]),
    null,
    null,
    /could not be read/,
  ],
  [
    'a part without a name',
    formBytes([['x="y"', 'z'], purpose, file('x')]),
    '',
    'unknown_parameter',
    /^Unknown parameter: ''\.$/,
  ],
  ['two files', formBytes([purpose, file('x'), file('y')]), 'file', 'invalid_value', /more than one/],
  ['two purposes', formBytes([purpose, purpose, file('x')]), 'purpose', 'invalid_value', /more than one/],
  [
    'an unknown purpose',
    formBytes([field('purpose', 'fun'), file('x')]),
    'purpose',
    'invalid_value',
    /Invalid value: 'fun'\. Supported values are: 'assistants'/,
  ],
  [
    'an unknown purpose behind the file',
    formBytes([file('x'), field('purpose', 'fun')]),
    'purpose',
    'invalid_value',
    /Invalid value: 'fun'/,
  ],
  [
    'an endless field',
    formBytes([field('purpose', 'x'.repeat(5_000))]),
    'purpose',
    'string_above_max_length',
    /maximum length 1024/,
  ],
  [
    'a name of 256 characters',
    formBytes([purpose, file('x', 'n'.repeat(256))]),
    'file',
    'string_above_max_length',
    /filename is too long.* 255, but got .* 256/,
  ],
  ['NUL in the name', formBytes([purpose, file('x', 'a\0b')]), 'file', 'invalid_value', /NUL/],
  [
    'an expiry without its anchor',
    formBytes([purpose, field('expires_after[seconds]', '3600'), file('x')]),
    'expires_after.anchor',
    'missing_required_parameter',
    /anchor/,
  ],
  [
    'an expiry without its seconds',
    formBytes([purpose, field('expires_after[anchor]', 'created_at'), file('x')]),
    'expires_after.seconds',
    'missing_required_parameter',
    /seconds/,
  ],
  [
    'an expiry that is too soon',
    formBytes([purpose, ...expiry('created_at', '3599'), file('x')]),
    'expires_after.seconds',
    'integer_below_min_value',
    />= 3600, but got 3599/,
  ],
  [
    'an expiry that is too late',
    formBytes([purpose, file('x'), ...expiry('created_at', '2592001')]),
    'expires_after.seconds',
    'integer_above_max_value',
    /<= 2592000/,
  ],
  [
    'an expiry that is no number',
    formBytes([purpose, file('x'), ...expiry('created_at', 'soon')]),
    'expires_after.seconds',
    'invalid_type',
    /expected an integer, but got a string/,
  ],
  [
    'an expiry from another moment',
    formBytes([purpose, file('x'), ...expiry('last_active_at', '3600')]),
    'expires_after.anchor',
    'invalid_value',
    /last_active_at/,
  ],
  ['a form without its end', formBytes([purpose, file('x')], ''), null, null, /could not be read: .*end/i],
  ['a form that breaks off in a part head', `--${boundary}\r\nContent-Disp`, null, null, /could not be read/],
  ['what is no form', '{"purpose": "assistants"}', null, null, /could not be read/],
]

function expiry(anchor: string, seconds: string) {
  return [field('expires_after[anchor]', anchor), field('expires_after[seconds]', seconds)]
}

for (const [what, body, param, code, text] of cases) {
  test(`an upload with ${what} is refused, and nothing of it stays`, async () => {
    const { status, error } = await post(body)
    assert.deepEqual(
      { status, type: error?.type, param: error?.param, code: error?.code },
      { status: 400, type: 'invalid_request_error', param, code },
    )
    assert.match(error?.message ?? '', text)
    await sweepFiles(server)
    assert.deepEqual(await fileRows(server), noFileRows)
  })
}

test('a form of too many parts is refused', async () => {
  const parts = Array.from({ length: 20 }, () => ['', 'x'] as [string, string])
  // Parts without a disposition are passed over by the reader, so that only their number shows.
  const text = formBytes([...parts, purpose, file('x')])
    .toString()
    .replaceAll('Content-Disposition: form-data; \r\n', '')
  const { status, error } = await post(text)
  assert.equal(status, 400)
  assert.match(error?.message ?? '', /more than 16 parts/)
})

test('a file comes in forms only, and forms only bring files', async () => {
  for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
    const { status, error } = await post('{}', type)
    assert.equal(status, 415)
    assert.match(error?.message ?? '', new RegExp(`'${type}'.*multipart/form-data`))
  }
  assert.equal((await post('{}', 'multipart/form-data')).status, 400)
  const headers = { 'content-type': formType }
  const body = formBytes([field('metadata', '{}')])
  const answer = await server.fetch('/v1/threads', { method: 'POST', headers, body })
  assert.equal(answer.status, 415)
})

test('fields may come before or behind the file', async () => {
  for (const parts of [
    [purpose, ...expiry('created_at', '3600'), file('x')],
    [file('x'), ...expiry('created_at', '3600').toReversed(), purpose],
  ]) {
    const headers = { 'content-type': formType }
    const body = formBytes(parts)
    const answer = await server.fetch('/v1/files', { method: 'POST', headers, body })
    const made = (await answer.json()) as { id: string; created_at: number; expires_at: number }
    assert.equal(made.expires_at, made.created_at + 3600)
    await server.client.files.delete(made.id)
  }
  await sweepFiles(server)
})

test('a form that is cut off anywhere is refused, and nothing of it stays', async () => {
  const whole = formBytes([purpose, file('content')])
  // The line break behind the end may be missing.
  for (let length = 0; length < whole.length - 2; length++) {
    const { status } = await post(whole.subarray(0, length))
    assert.equal(status, 400, `${length} of ${whole.length} bytes`)
  }
  await sweepFiles(server)
  assert.deepEqual(await fileRows(server), noFileRows)
})

test('a form that comes byte by byte is read as any other', async () => {
  const bytes = [...formBytes([purpose, file('a\r\n--b')])].map((byte) => chunked(Buffer.of(byte)))
  const { answer, socket } = await openUpload(
    server.app.url,
    Buffer.concat([...bytes, Buffer.from('0\r\n\r\n')]),
  )
  assert.match(await answer(), /^HTTP\/1\.1 200 .*"bytes":6,/s)
  socket.destroy()
})

test('a server that ignores unknown keys ignores unknown fields of a form too', async () => {
  const lenient = await startServer({ env: { UNKNOWN_PARAMETERS: 'ignore' } })
  const headers = { 'content-type': formType }
  const body = formBytes([field('colour', 'red'), purpose, file('x')])
  const answer = await lenient.fetch('/v1/files', { method: 'POST', headers, body })
  assert.equal(answer.status, 200)
})
