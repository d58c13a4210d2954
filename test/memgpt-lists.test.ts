import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pageOf } from '../src/http/memgpt-input.ts'
import { runsOf, speakMemgpt } from './support/memgpt.ts'
import { text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool, uploaded } from './support/server.ts'

// Lists of the memgpt dialect (memgpt-dialect.md §2 "Common"): bare arrays, the oldest first, 1000 unless asked.

const server = await startServer()
const { client, mock } = server
const { ask, refused, fault } = speakMemgpt(server)

type Item = { id: string }

interface List {
  path: string
  /** What it holds, in order of creation: four items. */
  ids: string[]
}

/** The lists of this server, each with at least four items; that of assistants has others' before these. */
const lists: Record<string, () => Promise<List>> = {
  async runs() {
    const { assistant, thread } = await readyToRun(server)
    const ids: string[] = []
    for (let i = 0; i < 4; i++) {
      ids.push((await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })).id)
    }
    return { path: runsOf(thread), ids }
  },
  async steps() {
    const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
    mock.reset()
    const calling = (id: string) => toolCalls([{ id, name: 'f', arguments: '{}' }])
    mock.next(calling('call_a'), calling('call_b'), calling('call_c'), text('Done.'))
    let run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
    for (const tool_call_id of ['call_a', 'call_b', 'call_c']) {
      run = await client.beta.threads.runs.submitToolOutputsAndPoll(run.id, {
        thread_id: thread,
        tool_outputs: [{ tool_call_id, output: '' }],
      })
    }
    const steps = await client.beta.threads.runs.steps.list(run.id, { thread_id: thread, order: 'asc' })
    return { path: `${runsOf(thread)}/${run.id}/steps`, ids: steps.data.map(({ id }) => id) }
  },
  async messages() {
    const messages = ['a', 'b', 'c', 'd'].map((content) => ({ role: 'user' as const, content }))
    const thread = await client.beta.threads.create({ messages })
    const { data } = await client.beta.threads.messages.list(thread.id, { order: 'asc' })
    return { path: `/v1/threads/${thread.id}/messages`, ids: data.map(({ id }) => id) }
  },
  async assistants() {
    for (const { id } of (await client.beta.assistants.list()).data) await client.beta.assistants.delete(id)
    const ids: string[] = []
    for (let i = 0; i < 4; i++) ids.push((await client.beta.assistants.create({ model: 'm' })).id)
    return { path: '/v1/assistants', ids }
  },
  async 'files of an assistant'() {
    const { id } = await client.beta.assistants.create({ model: 'm' })
    const path = `/v1/assistants/${id}/files`
    const ids: string[] = []
    for (let i = 0; i < 4; i++) {
      ids.push(await uploaded(server))
      await ask('POST', path, { file_id: ids[i] })
    }
    return { path, ids }
  },
}

for (const [name, make] of Object.entries(lists)) {
  test(`the list of ${name} is in ascending order, cut by limit and cursors, and its order may stand in quotes`, async () => {
    const { path, ids } = await make()
    const list = async (query: string) => {
      const answer = await ask<Item[] | { messages: Item[] }>('GET', path + query)
      assert.equal(Array.isArray(answer), name !== 'messages', 'only messages come in an object')
      return ('messages' in answer ? answer.messages : answer).map(({ id }) => id)
    }
    assert.deepEqual(await list(''), ids)
    assert.deepEqual(await list('?limit=&order='), ids, 'what is empty is not given')
    for (const order of ['asc', "'asc'", '%22asc%22']) assert.deepEqual(await list(`?order=${order}`), ids)
    for (const order of ['desc', "'desc'", '%22desc%22']) {
      assert.deepEqual(await list(`?order=${order}`), ids.toReversed(), order)
    }
    assert.deepEqual(await list('?limit=2'), ids.slice(0, 2))
    assert.deepEqual(await list('?limit=0'), [])
    assert.deepEqual(await list('?limit=1000000'), ids)
    assert.deepEqual(await list(`?after=${ids[1]}`), ids.slice(2))
    assert.deepEqual(await list(`?before=${ids[2]}`), ids.slice(0, 2))
    assert.deepEqual(await list(`?after=${ids[0]}&before=${ids[3]}`), ids.slice(1, 3))
    assert.deepEqual(await list(`?after=${ids[2]}&order=desc&limit=1`), [ids[1]])
    assert.deepEqual(await list(`?after=${ids[3]}`), [])
  })

  test(`the list of ${name} refuses what is no limit, order or cursor`, async () => {
    const { path } = await make()
    const query: [string, string][] = [
      ['limit=-1', 'greater_than_equal'],
      ['limit=x', 'type_error'],
      ['limit=1.5', 'type_error'],
      ['limit=1e3', 'type_error'],
      ['order=up', 'value_error'],
      ["order='asc", 'value_error'],
    ]
    for (const [text, type] of query) {
      const found = await fault('GET', `${path}?${text}`)
      assert.deepEqual([found?.type, found?.loc], [type, ['query', text.split('=')[0]]], text)
    }
    for (const cursor of ['after', 'before']) {
      const message = `Invalid '${cursor}': no item with id 'nothing' is in this list.`
      assert.deepEqual(await refused('GET', `${path}?${cursor}=nothing`), [404, message])
    }
  })
}

test('a list has 1000 items unless more are asked for, and never more than 10,000', async () => {
  const messages = Array.from({ length: 1_002 }, () => ({ role: 'user' as const, content: 'x' }))
  const thread = await client.beta.threads.create({ messages })
  const count = async (query: string) =>
    (await ask<{ messages: Item[] }>('GET', `/v1/threads/${thread.id}/messages${query}`)).messages.length
  assert.equal(await count(''), 1_000)
  assert.equal(await count('?limit=1002'), 1_002)
  assert.equal(pageOf({ limit: 10_001, order: 'asc' })?.limit, 10_000)
  assert.equal(pageOf({ limit: 10_000, order: 'asc' })?.limit, 10_000)
})

test('the list of something that is not there is 404, also with limit 0', async () => {
  const { thread } = await readyToRun(server)
  const missing: [string, string][] = [
    ['/v1/threads/thread_gone/runs', "No thread found with id 'thread_gone'."],
    ['/v1/threads/thread_gone/messages', "No thread found with id 'thread_gone'."],
    [`/v1/threads/${thread}/runs/run_gone/steps`, "No run found with id 'run_gone'."],
    ['/v1/assistants/asst_gone/files', "No assistant found with id 'asst_gone'."],
  ]
  for (const [path, text] of missing) {
    assert.deepEqual(await refused('GET', path), [404, text])
    assert.deepEqual(await refused('GET', `${path}?limit=0`), [404, text])
  }
})
