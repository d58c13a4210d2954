import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { check, type Check } from './check.ts'
import { outputsOf, runPath, runsPath, unique, v2, type ErrorFields, type Run } from './target.ts'

// wire.md §9, row by row, with status, type, code, param and text. Rows about fields of one operation stand with it.

const none = { code: null, param: null }

/** Ids that nothing has, by what they are of. */
const unknown: [string, string, string][] = [
  ['thread', 'thread_none', '/v1/threads/thread_none'],
  ['run', 'run_none', '/v1/threads/{thread}/runs/run_none'],
  ['message', 'msg_none', '/v1/threads/{thread}/messages/msg_none'],
  ['step', 'step_none', '/v1/threads/{thread}/runs/{run}/steps/step_none'],
]

const wrongTypes: [string, string, object, string, string][] = [
  ['assistant_id', 'runs', { assistant_id: 7 }, 'string', 'integer'],
  ['model', 'assistants', { model: true }, 'string', 'boolean'],
  ['temperature', 'assistants', { temperature: '1' }, 'decimal', 'string'],
  ['tools', 'assistants', { tools: {} }, 'array', 'object'],
  ['metadata', 'threads', { metadata: 'x' }, 'object', 'string'],
  ['content', 'messages', { content: null }, '', 'null'],
]

const base: Record<string, object> = {
  assistants: { model: 'm' },
  threads: {},
  messages: { role: 'user', content: 'x' },
  runs: {},
}

/** Not JSON, in several ways. */
const badJson: [string, string | Uint8Array][] = [
  ['cut', '{"a":'],
  ['trailing', '{},'],
  ['text', 'hello'],
  ['not-utf8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
]

const article = (type: string) => `${/^[aeio]/.test(type) ? 'an' : 'a'} ${type}`

/** A status in which a run takes neither outputs nor, mostly, a cancel. */
const ended: [string, string][] = [
  ['completed', 'Hi.'],
  ['incomplete', '#length'],
  ['failed', '#status 500'],
  ['cancelled', '#hang'],
]

export const errorChecks: Check[] = [
  check('errors.message-while-a-run-is-active', '§9 add message, run active', async (t) => {
    const run = await t.hanging()
    await t.refused('POST', `/v1/threads/${run.thread_id}/messages`, base['messages'], {
      ...none,
      text: `Can't add messages to ${run.thread_id} while a run ${run.id} is active.`,
    })
    await t.cancelled(run)
  }),
  check('errors.run-while-a-run-is-active', '§9 create run, run active', async (t) => {
    const run = await t.hanging()
    const text = `Thread ${run.thread_id} already has an active run ${run.id}.`
    await t.refused('POST', runsPath(run.thread_id), { assistant_id: run.assistant_id }, { ...none, text })
    await t.cancelled(run)
  }),
  ...[...ended, ['in_progress', '#hang']].map(([status = '', text = '']) =>
    check(`errors.submit-when-${status}`, '§9 submit in wrong state', async (t) => {
      let run = text === '#hang' ? await t.hanging() : await t.ran(text)
      if (status === 'cancelled') run = await t.cancelled(run)
      assert.equal(run.status, status)
      await t.refused(
        'POST',
        `${runPath(run)}/submit_tool_outputs`,
        { tool_outputs: [] },
        {
          ...none,
          text: `Runs in status "${status}" do not accept tool outputs.`,
        },
      )
      if (status === 'in_progress') await t.cancelled(run)
    }),
  ),
  check('errors.submit-some-outputs', '§9 submit, ids differ', async (t) => {
    const run = await t.asking('f', 'g')
    const outputs = outputsOf(run)
    const [a, b] = outputs.map(({ tool_call_id }) => tool_call_id)
    const path = `${runPath(run)}/submit_tool_outputs`
    const expected = (got: string) => ({
      ...none,
      text: `Expected tool outputs for call_ids ['${a}', '${b}'], got [${got}]`,
    })
    await t.refused('POST', path, { tool_outputs: outputs.slice(0, 1) }, expected(`'${a}'`))
    await t.refused('POST', path, { tool_outputs: [] }, expected(''))
    const other = { tool_call_id: 'call_other', output: 'x' }
    const three = expected(`'${a}', '${b}', 'call_other'`)
    await t.refused('POST', path, { tool_outputs: [...outputs, other] }, three)
    assert.equal((await t.now(run)).status, 'requires_action')
    assert.equal((await t.answered(run)).status, 'completed')
  }),
  check('errors.submit-twice-the-same', '§9 submit, ids differ', async (t) => {
    const run = await t.asking('f', 'g')
    const [one] = outputsOf(run)
    const text =
      /^Expected tool outputs for call_ids \['call_\w+', 'call_\w+'\], got \['call_\w+', 'call_\w+'\]$/
    const body = { tool_outputs: [one, one] }
    await t.refused('POST', `${runPath(run)}/submit_tool_outputs`, body, { ...none, text })
    await t.cancelled(run)
  }),
  check('errors.submit-bodies', ['§9 missing field', '§9 wrong type'], async (t) => {
    const run = await t.asking('f')
    const path = `${runPath(run)}/submit_tool_outputs`
    await t.refused('POST', path, {}, { code: 'missing_required_parameter', param: 'tool_outputs' })
    await t.refused('POST', path, { tool_outputs: {} }, { code: 'invalid_type', param: 'tool_outputs' })
    const numbers = { tool_outputs: outputsOf(run).map((output) => ({ ...output, output: 7 })) }
    await t.refused('POST', path, numbers, { code: 'invalid_type', param: 'tool_outputs[0].output' })
    assert.equal((await t.answered(run)).status, 'completed')
  }),
  ...ended.map(([status, text]) =>
    check(`errors.cancel-when-${status}`, '§9 cancel in wrong state', async (t) => {
      const run = text === '#hang' ? await t.cancelled(await t.hanging()) : await t.ran(text)
      assert.equal(run.status, status)
      const path = `${runPath(run)}/cancel`
      await t.refused('POST', path, undefined, {
        ...none,
        text: `Cannot cancel run with status '${status}'.`,
      })
      assert.deepEqual(await t.now(run), run)
    }),
  ),
  check('errors.unknown-assistant', '§9 unknown assistant', async (t) => {
    const expected = { status: 404, ...none, text: "No assistant found with id 'asst_none'." }
    const { id } = await t.thread('Hi.')
    await t.refused('POST', runsPath(id), { assistant_id: 'asst_none' }, expected)
    await t.refused('POST', '/v1/threads/runs', { assistant_id: 'asst_none' }, expected)
    await t.refused('GET', '/v1/assistants/asst_none', undefined, expected)
  }),
  ...unknown.map(([noun, id, pattern]) =>
    check(`errors.unknown-${noun}`, '§9 unknown thread / run / message / step / vector store', async (t) => {
      const run = await t.ran('Hi.')
      const path = pattern.replace('{thread}', run.thread_id).replace('{run}', run.id)
      const text = new RegExp(`^No (run )?${noun} found with id '${id}'\\.$`)
      await t.refused('GET', path, undefined, { status: 404, ...none, text })
    }),
  ),
  check('errors.unknown-file', ['§9 unknown file', '§4 Files GET /files/{id}'], async (t) => {
    const expected = { status: 404, code: null, param: 'id', text: 'No such File object: file-none' }
    await t.refused('GET', '/v1/files/file-none', undefined, expected)
    await t.refused('GET', '/v1/files/file-none/content', undefined, expected)
    await t.refused('DELETE', '/v1/files/file-none', undefined, expected)
  }),
  check('errors.malformed-id', '§9 malformed id', async (t) => {
    for (const value of ['undefined', 'run_abc', 'null']) {
      await t.refused('GET', `/v1/threads/${value}`, undefined, {
        code: 'invalid_value',
        param: 'thread_id',
        text: `Invalid 'thread_id': '${value}'. Expected an ID that begins with 'thread'.`,
      })
    }
    const { id } = await t.thread()
    const run = { code: 'invalid_value', param: 'run_id' }
    await t.refused('GET', `${runsPath(id)}/msg_x`, undefined, run)
  }),
  check('errors.missing-field', '§9 missing field', async (t) => {
    const { id } = await t.thread()
    await t.refused(
      'POST',
      runsPath(id),
      {},
      {
        code: 'missing_required_parameter',
        param: 'assistant_id',
        text: "Missing required parameter: 'assistant_id'.",
      },
    )
  }),
  check('errors.unknown-field-inside', '§9 unknown field', async (t) => {
    const body = { messages: [{ role: 'user', content: 'x', foo: 1 }] }
    const param = 'messages[0].foo'
    await t.refused('POST', '/v1/threads', body, {
      code: 'unknown_parameter',
      param,
      text: `Unknown parameter: '${param}'.`,
    })
  }),
  ...wrongTypes.map(([param, kind, body, expected, got]) =>
    check(`errors.wrong-type.${kind}.${param}`, '§9 wrong type', async (t) => {
      const { id } = await t.thread()
      const path = { runs: runsPath(id), messages: `/v1/threads/${id}/messages` }[kind] ?? `/v1/${kind}`
      const text = expected
        ? `Invalid type for '${param}': expected ${article(expected)}, but got ${article(got)} instead.`
        : /^Invalid type for 'content': expected .*, but got null instead\.$/
      await t.refused('POST', path, { ...base[kind], ...body }, { code: 'invalid_type', param, text })
    }),
  ),
  check(
    'errors.tool-choice-without-its-tool',
    ['§9 tool_choice names a tool that the run does not have', '§5 tool_choice'],
    async (t) => {
      const { assistant, thread } = await t.ready('Hi.')
      const tool_choice = { type: 'function', function: { name: 'look_up_nothing' } }
      const body = { assistant_id: assistant, tool_choice }
      await t.refused('POST', runsPath(thread), body, { ...none, text: /look_up_nothing/ })
    },
  ),
  check('errors.enum', '§9 enum', async (t) => {
    const { id } = await t.thread()
    await t.refused(
      'POST',
      `/v1/threads/${id}/messages`,
      { role: 'system', content: 'x' },
      {
        code: 'invalid_value',
        param: 'role',
        text: "Invalid value: 'system'. Supported values are: 'user', 'assistant'.",
      },
    )
  }),
  ...badJson.map(([what, body]) =>
    check(`errors.bad-json.${what}`, '§9 bad JSON', async (t) => {
      const mark = unique()
      const { status, json } = await t.raw<{ error: ErrorFields }>('POST', '/v1/threads', body, {
        ...v2,
        'x-mark': mark,
      })
      assert.equal(status, 400)
      const { message, ...rest } = json.error
      assert.deepEqual(rest, { type: 'invalid_request_error', ...none })
      assert.ok(message.length > 10)
    }),
  ),
  check('errors.body-that-is-no-object', '§9 wrong type', async (t) => {
    for (const body of ['[]', '7', '"x"']) {
      const { status } = await t.raw('POST', '/v1/threads', body)
      assert.equal(status, 400, body)
    }
  }),
  check('errors.unknown-route', '§9 unknown route', async (t) => {
    const expected = { status: 404, code: 'unknown_url', param: null }
    await t.refused('GET', '/v1/x', undefined, { ...expected, text: 'Unknown request URL: GET /v1/x.' })
    await t.refused('POST', '/v1/threads/a/b/c/d', {}, expected)
    await t.refused('DELETE', '/v1/assistants', undefined, expected)
  }),
  check('errors.envelope', ['§9 envelope', 'SDK errors'], async (t) => {
    const failure: unknown = await t.client.beta.assistants
      .retrieve('asst_none')
      .catch((error: unknown) => error)
    assert.ok(failure instanceof OpenAI.NotFoundError)
    const { status, message, type, param, code } = failure
    assert.deepEqual([status, type, param, code], [404, 'invalid_request_error', null, null])
    assert.equal(message, "404 No assistant found with id 'asst_none'.")
    assert.match(failure.requestID ?? '', /^req_/)
  }),
  check('errors.race-of-two-creates', '§9 race of two creates', async (t) => {
    for (let round = 0; round < 3; round++) {
      const { assistant, thread } = await t.ready('#hang')
      const create = () => t.post<Run & { error: ErrorFields }>(runsPath(thread), { assistant_id: assistant })
      const replies = await Promise.all([create(), create(), create(), create()])
      const won = replies.filter(({ status }) => status === 200).map(({ json }) => json)
      assert.equal(won.length, 1)
      for (const { status, json } of replies) {
        if (status === 200) continue
        assert.equal(status, 400)
        assert.equal(json.error.message, `Thread ${thread} already has an active run ${won[0]?.id}.`)
      }
      if (won[0]) await t.cancelled(won[0])
    }
  }),
  check('errors.race-of-cancel-and-submit', '§9 conflicts are never 409', async (t) => {
    const run = await t.asking('f')
    const [cancel, submit] = await Promise.all([
      t.post(`${runPath(run)}/cancel`),
      t.post(`${runPath(run)}/submit_tool_outputs`, { tool_outputs: outputsOf(run) }),
    ])
    for (const { status } of [cancel, submit]) assert.ok(status === 200 || status === 400, String(status))
    assert.ok(['cancelled', 'completed'].includes((await t.stopped(run)).status))
  }),
]
