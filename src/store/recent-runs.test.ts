import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '../contract/ids.ts'
import { newRunState } from '../domain/run.ts'
import type { RunRecord } from '../domain/records.ts'
import { RecentRuns } from './recent-runs.ts'
import { noRows, type ThreadWrite } from './thread-write.ts'

const ok = { outcome: 'ok' } as const

function someRun(version = 1): RunRecord {
  const thread_id = newId('thread')
  const state = { ...newRunState('node', 600), version }
  return { id: newId('run'), project_id: 'default', thread_id, metadata: {}, state } as RunRecord
}

function advance(run: RunRecord): ThreadWrite {
  const thread = { project_id: run.project_id, id: run.thread_id }
  const { version } = run.state
  return { kind: 'advance', thread, run, version: version - 1, stamp: 1, release: false, rows: noRows }
}

const at = (run: RunRecord, version: number) => ({ ...run, state: { ...run.state, version } })

test('a run is known as its newest commit left it, in whichever order commits are heard of', () => {
  const recent = new RecentRuns(true)
  const run = someRun()
  recent.written(advance(at(run, 3)), ok)
  recent.written(advance(at(run, 2)), ok)
  assert.equal(recent.get(run)?.state.version, 3)
})

test('a run that is large is asked for, so that many of them do not fill the memory', () => {
  const recent = new RecentRuns(true)
  const run = { ...someRun(), metadata: { large: 'x'.repeat(20_000) } }
  recent.written(advance(run), ok)
  assert.equal(recent.get(run), null)
})

test('what a write did not do is not known', () => {
  const recent = new RecentRuns(true)
  const run = someRun()
  recent.written(advance(run), { outcome: 'stale' })
  assert.equal(recent.get(run), null)
})

test('a run that changed in another way is asked for from then on, whatever is heard later', () => {
  const recent = new RecentRuns(true)
  const run = someRun()
  recent.written(advance(run), ok)
  recent.forget(run.id)
  recent.written(advance(at(run, 9)), ok)
  assert.equal(recent.get(run), null)
})

test('a write that may have been done makes its run one to ask for', () => {
  const recent = new RecentRuns(true)
  const run = someRun()
  recent.written(advance(run), ok)
  recent.doubted(advance(at(run, 2)))
  assert.equal(recent.get(run), null)
})

test('the runs of a deleted thread are not known', () => {
  const recent = new RecentRuns(true)
  const [run, other] = [someRun(), someRun()]
  for (const one of [run, other]) recent.written(advance(one), ok)
  const thread = { project_id: run.project_id, id: run.thread_id }
  recent.written({ kind: 'delete_thread', thread, rows: noRows, now: 1 }, ok)
  assert.equal(recent.get(run), null)
  assert.equal(recent.get(other)?.id, other.id)
})

test('a run is known in its own thread and project alone', () => {
  const recent = new RecentRuns(true)
  const run = someRun()
  recent.written(advance(run), ok)
  assert.equal(recent.get({ ...run, project_id: 'another' }), null)
  assert.equal(recent.get({ ...run, thread_id: newId('thread') }), null)
})

test('metadata that a client changed beside a commit are those that are known', () => {
  const recent = new RecentRuns(true)
  const run = someRun()
  recent.written(advance(run), { ...ok, metadata: { by: 'client' } })
  assert.deepEqual(recent.get(run)?.metadata, { by: 'client' })
})

test('a node that shares its database knows no run', () => {
  const recent = new RecentRuns(false)
  const run = someRun()
  recent.written(advance(run), ok)
  assert.equal(recent.get(run), null)
})
