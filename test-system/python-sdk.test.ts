import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { hang, text, toolCalls, type Answer } from '../test/support/mock-model.ts'
import { plainEnvironment, within } from '../test/support/npm-start.ts'
import { startServer } from '../test/support/server.ts'

// The official Python SDK, unmodified, against a server in this process. fixtures/python_sdk.py is its side.

const version = '3.22.1'
const script = fileURLToPath(new URL('fixtures/python_sdk.py', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'threadmill-python-'))
after(() => rmSync(folder, { recursive: true, force: true }))

before(
  async () => {
    const venv = await execute('python3', ['-m', 'venv', folder], 60_000)
    assert.equal(venv.code, 0, `cannot make a Python environment: ${venv.output}`)
    // Where an index is configured that cannot be reached, each retry costs seconds for each package.
    const pip = ['-m', 'pip', 'install', '--quiet', '--retries', '1', `openai==${version}`]
    const { code, output } = await execute(join(folder, 'bin/python'), pip, 240_000)
    const advice =
      'This test needs a package index that pip can reach (its settings: PIP_INDEX_URL, pip.conf).'
    assert.equal(code, 0, `pip could not install openai ${version} from PyPI. ${advice}\n${output}`)
  },
  { timeout: 300_000 },
)

const server = await startServer()

/** Runs one scenario of the script and returns what it printed. */
async function python<T>(scenario: string, ...answers: Answer[]): Promise<T> {
  server.mock.reset()
  server.mock.next(...answers)
  const args = ['-W', 'ignore', script, `${server.app.url}/v1`, scenario]
  const { code, output, printed } = await execute(join(folder, 'bin/python'), args, 60_000)
  assert.equal(code, 0, output)
  return JSON.parse(printed) as T
}

async function execute(program: string, args: string[], ms: number) {
  const child = spawn(program, args, { env: plainEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  let [printed, output] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk
    output += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  try {
    return { code: await within(ended, ms, () => output), output, printed }
  } finally {
    child.kill('SIGKILL')
  }
}

const call = { id: 'call_1', name: 'get_weather', arguments: '{"city":"Paris"}' }

test('create_and_poll returns at most 200 ms after the second that the model takes', async (t) => {
  const afterOneSecond: Answer = async (exchange) => {
    await sleep(1_000)
    await text('Good morning.')(exchange)
  }
  const seen = await python<{ milliseconds: number[]; statuses: string[]; text: string }>(
    'poll',
    afterOneSecond,
    afterOneSecond,
    afterOneSecond,
  )
  t.diagnostic(`create_and_poll took ${seen.milliseconds.join(', ')} ms`)
  assert.deepEqual(seen.statuses, ['completed', 'completed', 'completed'])
  assert.equal(seen.text, 'Good morning.')
  const best = Math.min(...seen.milliseconds)
  assert.ok(best >= 1_000 && best <= 1_200, `${seen.milliseconds.join(', ')} ms`)
})

test('submit_tool_outputs_and_poll carries a run that asked for outputs to its end', async () => {
  const seen = await python('outputs_poll', toolCalls([call]), text('It is sunny.'))
  assert.deepEqual(seen, { asked: 'requires_action', ended: 'completed', text: 'It is sunny.' })
  const output = server.mock.requests[1]?.body.messages.at(-1)
  assert.deepEqual([output?.role, output?.content], ['tool', 'get_weather says sunny'])
})

test('an AssistantEventHandler hears every event of a streamed run, and until_done returns', async () => {
  const seen = await python<{ names: string[] }>('stream', text('Good', ' morning', ', all.'))
  const { names, ...rest } = seen
  assert.deepEqual(rest, {
    status: 'completed',
    text: 'Good morning, all.',
    final: 'Good morning, all.',
    ended: 1,
  })
  assert.deepEqual(
    names.filter((name) => !name.endsWith('.delta')),
    [
      'thread.run.created',
      'thread.run.queued',
      'thread.run.in_progress',
      'thread.run.step.created',
      'thread.run.step.in_progress',
      'thread.message.created',
      'thread.message.in_progress',
      'thread.message.completed',
      'thread.run.step.completed',
      'thread.run.completed',
    ],
  )
})

test('submit_tool_outputs_stream streams what follows the outputs', async () => {
  const seen = await python('outputs_stream', toolCalls([call]), text('It is', ' sunny.'))
  assert.deepEqual(seen, {
    asked: 'requires_action',
    calls: [['get_weather', '{"city":"Paris"}']],
    ended: 'completed',
    text: 'It is sunny.',
  })
})

test('cancel, which Python sends as JSON with an empty body, ends a run whose model is silent', async () => {
  const seen = await python<{ answered: string; ended: string }>('cancel', hang())
  assert.equal(seen.ended, 'cancelled')
  assert.match(seen.answered, /^cancell(ing|ed)$/)
})

test('a list of messages pages by itself to its end', async () => {
  const { texts } = await python<{ texts: string[] }>('paging')
  assert.deepEqual(
    texts,
    Array.from({ length: 25 }, (_, number) => String(number)),
  )
})
