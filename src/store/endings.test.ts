import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Endings } from './endings.ts'
import type { RunKey } from './run-writes.ts'

const keyOf = (id: string): RunKey => ({ project_id: 'mine', thread_id: 'thread', id })

/** Endings whose time is this test's. */
function controlled(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let now = 1_000
  const endings = new Endings(() => now, 50)
  const pass = (ms: number) => {
    now += ms
    t.mock.timers.tick(ms)
  }
  return {
    endings,
    pass,
    /** A turn that takes so long. */
    turn(run: string, model: string, ms: number, answered = true) {
      endings.begin(keyOf(run), model)
      pass(ms)
      endings.over(run, answered)
      endings.end(run)
    },
    /** Asks for a run; tells whether the answer is there by now. */
    ask(run: string, of: Partial<RunKey> = {}) {
      let answered = false
      void endings.of({ ...keyOf(run), ...of }).then(() => (answered = true))
      return async () => {
        await new Promise(setImmediate)
        return answered
      }
    },
  }
}

test('a read waits for a young turn of a model that was quick when it was asked last, and for no other', async (t) => {
  const time = controlled(t)
  const { endings } = time
  assert.equal(await time.ask('unknown')(), true)
  endings.begin(keyOf('a'), 'fast')
  assert.equal(await time.ask('a')(), true, 'nothing is known of the model')
  time.pass(10)
  endings.over('a', true)
  endings.end('a')

  endings.begin(keyOf('b'), 'fast')
  endings.begin(keyOf('c'), 'other')
  const [waits, other] = [time.ask('b'), time.ask('c')]
  assert.deepEqual([await waits(), await other()], [false, true])
  time.pass(10)
  endings.over('b', true)
  assert.equal(await waits(), false, 'it is being committed')
  endings.end('b')
  assert.equal(await waits(), true)

  time.turn('d', 'fast', 51)
  endings.begin(keyOf('e'), 'fast')
  assert.equal(await time.ask('e')(), true, 'the last one took too long')
})

test('a read waits until its turn is 50 ms old, and who comes then, or for another turn of the model, does not wait', async (t) => {
  const time = controlled(t)
  const { endings } = time
  time.turn('a', 'fast', 0)
  endings.begin(keyOf('b'), 'fast')
  time.pass(30)
  endings.begin(keyOf('c'), 'fast')
  const waits = time.ask('b')
  time.pass(19)
  assert.equal(await waits(), false)
  time.pass(1)
  assert.equal(await waits(), true)
  assert.equal(await time.ask('b')(), true)
  assert.equal(await time.ask('c')(), true, 'its model is not quick any more')
})

test('a commit is waited for 50 ms, from each read on', async (t) => {
  const time = controlled(t)
  const { endings } = time
  endings.begin(keyOf('a'), 'slow')
  time.pass(5_000)
  endings.over('a', true)
  const first = time.ask('a')
  time.pass(49)
  const second = time.ask('a')
  assert.equal(await first(), false)
  time.pass(1)
  assert.deepEqual([await first(), await second()], [true, false])
  time.pass(49)
  assert.equal(await second(), true)
})

test('whoever asks for the run in another project or thread does not wait', async (t) => {
  const time = controlled(t)
  time.endings.begin(keyOf('a'), 'slow')
  time.endings.over('a', true)
  assert.equal(await time.ask('a')(), false)
  assert.equal(await time.ask('a', { project_id: 'theirs' })(), true)
  assert.equal(await time.ask('a', { thread_id: 'other' })(), true)
})

test('a turn that was broken off or refused says nothing of its model', async (t) => {
  const time = controlled(t)
  const { endings } = time
  time.turn('a', 'slow', 1, false)
  endings.begin(keyOf('b'), 'slow')
  assert.equal(await time.ask('b')(), true)
})

test('of more models than are remembered, those that were quick last are', async (t) => {
  const time = controlled(t)
  const { endings } = time
  time.turn('a', 'first', 1)
  time.turn('a', 'second', 1)
  for (let i = 0; i < 998; i++) time.turn('a', `other ${i}`, 1)
  time.turn('a', 'first', 1)
  time.turn('a', 'last', 1)
  for (const model of ['first', 'second', 'last']) endings.begin(keyOf(model), model)
  const asked = ['first', 'second', 'last'].map((model) => time.ask(model))
  assert.deepEqual(await Promise.all(asked.map((answered) => answered())), [false, true, false])
})
