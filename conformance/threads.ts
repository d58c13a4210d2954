import assert from 'node:assert/strict'
import { check, shows, type Check } from './check.ts'
import { textOf, times, tool, unique, type Refusal } from './target.ts'

const create = '§4 Threads POST /threads'
const one = '§4 Threads GET / POST / DELETE /threads/{id}'
const withRun = '§4 Threads POST /threads/runs'

export const threadChecks: Check[] = [
  check('threads.create.empty', create, async (t) => {
    const { id, created_at, ...rest } = await t.client.beta.threads.create()
    assert.match(id, /^thread_/)
    assert.ok(Math.abs(created_at - Date.now() / 1000) < 300, 'seconds')
    shows(rest, { object: 'thread', metadata: {} })
    assert.deepEqual(await t.messages(id), [])
  }),
  check('threads.create.messages-in-order', create, async (t) => {
    const { id } = await t.client.beta.threads.create({
      messages: [
        { role: 'user', content: 'One.', metadata: { n: '1' } },
        { role: 'assistant', content: 'Two.' },
        { role: 'user', content: [{ type: 'text', text: 'Three.' }] },
      ],
    })
    const messages = await t.messages(id)
    assert.deepEqual(
      messages.map((message) => [message.role, textOf(message), message.metadata]),
      [
        ['user', 'One.', { n: '1' }],
        ['assistant', 'Two.', {}],
        ['user', 'Three.', {}],
      ],
    )
  }),
  check('threads.create.tool-resources', [create, '§4 tool_resources'], async (t) => {
    const file = await t.file()
    const tool_resources = { code_interpreter: { file_ids: [file.id] } }
    const thread = await t.client.beta.threads.create({ tool_resources })
    assert.deepEqual(thread.tool_resources?.code_interpreter, { file_ids: [file.id] })
    const refused = (resources: object, expected: Refusal) =>
      t.refused('POST', '/v1/threads', { tool_resources: resources }, expected)
    await refused(
      { code_interpreter: { file_ids: times(21, (n) => `file-${n}`) } },
      { code: 'array_above_max_length' },
    )
    await refused({ file_search: { vector_store_ids: ['vs_1', 'vs_2'] } }, { code: 'array_above_max_length' })
  }),
  check('threads.create.a-bad-message-creates-nothing', create, (t) =>
    t.refused(
      'POST',
      '/v1/threads',
      { messages: [{ role: 'user', content: 'One.' }, { role: 'user' }] },
      { code: 'missing_required_parameter', param: 'messages[1].content' },
    ),
  ),
  check('threads.create.nulls', create, async (t) => {
    const { status, json } = await t.post<{ metadata: object }>('/v1/threads', {
      tool_resources: null,
      metadata: null,
    })
    assert.deepEqual([status, json.metadata], [200, {}])
  }),
  check('threads.retrieve', one, async (t) => {
    const thread = await t.client.beta.threads.create({ metadata: { a: 'b' } })
    assert.deepEqual(await t.client.beta.threads.retrieve(thread.id), thread)
  }),
  check('threads.modify', one, async (t) => {
    const thread = await t.client.beta.threads.create({ metadata: { a: '1' } })
    const file = await t.file()
    const tool_resources = { code_interpreter: { file_ids: [file.id] } }
    const changed = await t.client.beta.threads.update(thread.id, { tool_resources })
    assert.deepEqual(changed.metadata, { a: '1' })
    assert.deepEqual(changed.tool_resources?.code_interpreter, { file_ids: [file.id] })
    const noted = await t.client.beta.threads.update(thread.id, { metadata: { a: '2' } })
    assert.deepEqual(noted.metadata, { a: '2' })
    assert.deepEqual(noted.tool_resources, changed.tool_resources)
    const path = `/v1/threads/${thread.id}`
    await t.refused('POST', path, { messages: [] }, { code: 'unknown_parameter', param: 'messages' })
  }),
  check('threads.delete', [one, '§1 HTTP verbs'], async (t) => {
    const { id } = await t.thread('Hello.')
    const gone = await t.raw('DELETE', `/v1/threads/${id}`)
    assert.deepEqual([gone.status, gone.json], [200, { id, object: 'thread.deleted', deleted: true }])
    const unknown = { status: 404, text: `No thread found with id '${id}'.` }
    await t.refused('GET', `/v1/threads/${id}`, undefined, unknown)
    await t.refused('GET', `/v1/threads/${id}/messages`, undefined, unknown)
    await t.refused('POST', `/v1/threads/${id}/messages`, { role: 'user', content: 'x' }, unknown)
    await t.refused('DELETE', `/v1/threads/${id}`, undefined, unknown)
  }),
  check('threads.delete.with-an-active-run', one, async (t) => {
    const run = await t.hanging()
    shows(await t.client.beta.threads.delete(run.thread_id), { deleted: true })
    await t.refused('GET', `/v1/threads/${run.thread_id}/runs/${run.id}`, undefined, { status: 404 })
  }),
  check('threads.create-and-run.minimal', withRun, async (t) => {
    const { id } = await t.assistant({ instructions: 'Be brief.' })
    const run = await t.client.beta.threads.createAndRun({ assistant_id: id })
    shows(run, { object: 'thread.run', status: 'queued', assistant_id: id, instructions: 'Be brief.' })
    assert.equal((await t.stopped(run)).status, 'completed')
    assert.deepEqual((await t.client.beta.threads.retrieve(run.thread_id)).metadata, {})
  }),
  check('threads.create-and-run.every-field', withRun, async (t) => {
    const [{ id }, file] = await Promise.all([t.assistant(), t.file()])
    const own = {
      model: `${t.options.modelName}-2`,
      instructions: 'Be long.',
      tools: [tool('g')],
      metadata: { of: 'run' },
      temperature: 0,
      top_p: 0,
      max_prompt_tokens: 5_000,
      max_completion_tokens: 256,
      truncation_strategy: { type: 'last_messages' as const, last_messages: 3 },
      tool_choice: 'none' as const,
      parallel_tool_calls: false,
      response_format: { type: 'text' as const },
    }
    const run = await t.client.beta.threads.createAndRun({
      assistant_id: id,
      ...own,
      tool_resources: { code_interpreter: { file_ids: [file.id] } },
      thread: { messages: [{ role: 'user', content: 'Hi.' }], metadata: { of: 'thread' } },
    })
    shows(run, own)
    await t.stopped(run)
    assert.deepEqual((await t.client.beta.threads.retrieve(run.thread_id)).metadata, { of: 'thread' })
    assert.equal(textOf((await t.messages(run.thread_id))[0]), 'Hi.')
  }),
  check('threads.create-and-run.takes-no-additional-fields', withRun, async (t) => {
    const { id } = await t.assistant()
    for (const name of ['additional_messages', 'additional_instructions']) {
      const body = { assistant_id: id, [name]: name.endsWith('messages') ? [] : 'x' }
      await t.refused('POST', '/v1/threads/runs', body, { code: 'unknown_parameter', param: name })
    }
  }),
  check('threads.create-and-run.refusals', withRun, async (t) => {
    const mark = unique()
    const thread = { messages: [{ role: 'user', content: mark }] }
    const path = '/v1/threads/runs'
    await t.refused('POST', path, { thread }, { code: 'missing_required_parameter', param: 'assistant_id' })
    const unknown = { status: 404, text: "No assistant found with id 'asst_none'." }
    await t.refused('POST', path, { assistant_id: 'asst_none', thread }, unknown)
    const { id } = await t.assistant()
    const bad = { messages: [{ role: 'system', content: mark }] }
    await t.refused('POST', path, { assistant_id: id, thread: bad }, { param: 'thread.messages[0].role' })
    assert.deepEqual(t.model.askedWith(mark), [])
  }),
]
