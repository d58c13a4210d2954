import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { scopeOf, sqlTexts, type Scope } from './support/sql-texts.ts'

// Each statement reaches the rows of one project, wherever it reads or writes any. A statement or a part of one that does not
// name the project of a table that has one is listed here with its reason, and fails until it is.

const schema = readFileSync(new URL('../sql/schema.sql', import.meta.url), 'utf8')
const tables = [...schema.matchAll(/^create table (\w+) \(([^]*?)^\);/gm)].map(
  ([, name = '', columns = '']) => ({
    name,
    columns,
  }),
)
const ofProjects = tables.filter(({ columns }) => /^ {2}project_id /m.test(columns)).map(({ name }) => name)

/** Tables that hold nothing of any one project. */
const ofServers = ['access_version', 'nodes', 'projects', 'threadmill_migrations']

const sweeps = 'a sweep of the server itself: it looks through all projects, and no client asks for it'
const counts = "counts all projects for the metrics, which are the operator's alone"
const below =
  'what is below a thread that the same statement, or the one before in its transaction, found by its project'
const index = 'looks in an index that knows no projects; the part around it takes those of the project alone'
const operators = 'an operator names the key by its own id'
const access = 'finds out what a key may do, and in which project'

/** How many uses of a table do not name its project, by statement, and why. */
const listed: Record<string, [number, string]> = {
  'src/store/api-keys.ts lockText': [1, operators],
  'src/store/api-keys.ts expireText': [1, operators],
  'src/store/api-keys.ts revokeText': [1, operators],
  'src/store/api-keys.ts limitKeyText': [1, operators],
  'src/store/api-keys.ts inheritText': [2, operators],
  'src/store/api-keys.ts hasApiKeys': [1, access],
  'src/store/api-keys.ts validText': [1, access],
  'src/store/api-keys.ts touchApiKeys': [1, access],
  'src/store/event-log.ts purgeText': [5, sweeps],
  'src/store/file-uploads.ts retireText': [4, sweeps],
  'src/store/file-uploads.ts purgeText': [5, sweeps],
  'src/store/idempotency.ts purgeText': [2, sweeps],
  'src/store/run-counts.ts countByStatus': [1, counts],
  'src/store/run-counts.ts countUnowned': [1, counts],
  'src/store/run-counts.ts countWaiting': [1, counts],
  'src/store/nodes.ts forgetText': [1, sweeps],
  'src/store/retention.ts retireText': [4, below],
  'src/store/retention.ts unpurgedText': [1, sweeps],
  'src/store/runs.ts claimText': [2, sweeps],
  'src/store/runs.ts dueText': [1, sweeps],
  'src/store/runs.ts orphanedText': [1, sweeps],
  'src/store/runs.ts ownedText': [1, sweeps],
  'src/store/thread-list.ts seekUpText': [1, index],
  'src/store/thread-list.ts seekDownText': [1, index],
  'src/store/thread-queue.ts lockText': [1, below],
  'src/store/thread-queue.ts waitingText': [2, below],
  'src/store/thread-queue.ts admitText': [6, below],
  'src/store/thread-queue.ts withdrawText': [5, below],
  'src/store/thread-queue.ts clearText': [1, below],
  'src/store/thread-queue.ts replacedText': [2, below],
  'src/store/thread-queue.ts overdueText': [3, sweeps],
  'src/store/thread-write-sql.ts held': [1, below],
  'src/store/thread-write-sql.ts crowd': [3, below],
  'src/store/thread-write-sql.ts advanced': [1, below],
  'src/store/thread-write-sql.ts touched': [1, below],
  'src/store/thread-write-sql.ts touchedThreads': [1, below],
  'src/store/thread-write-sql.ts changedMessage': [1, below],
  'src/store/thread-write-sql.ts goneMessage': [1, below],
  'src/store/thread-write-sql.ts changedStep': [1, below],
  'src/store/thread-write-sql.ts outcomes': [1, below],
  'src/store/thread-write-sql.ts outcomesUnlessLong': [1, below],
  'src/store/threads.ts purgeText': [15, sweeps],
  'src/store/threads.ts strandedText': [1, sweeps],
  'src/store/usage-days.ts limitsOfKeysText': [1, access],
  'src/store/usage-days.ts forgetText': [1, sweeps],
}

/** Uses of tables of projects in this part and those inside it which do not name the project. */
function unscoped(scope: Scope, names: readonly string[]): string[] {
  const use = new RegExp(`\\b(?:from|join|update|into|using)\\s+(?:only\\s+)?(?:${names.join('|')})\\b`, 'g')
  const own = [...scope.text.matchAll(use)].filter(([used]) => {
    if (!used.startsWith('into')) return !/\bproject_id\s*(=|in\b)|=\s*\w+\.project_id\b/.test(scope.text)
    const columns = scope.inner.find(({ before }) => before.trimEnd().endsWith(used))
    return !/\bproject_id\b/.test(columns?.text ?? '')
  })
  return [
    ...own.map(
      ([used]) =>
        `${used.replaceAll(/\s+/g, ' ')}: ${scope.text.trim().replaceAll(/\s+/g, ' ').slice(0, 120)}`,
    ),
    ...scope.inner.flatMap((inner) => unscoped(inner, names)),
  ]
}

// A row of the project that is read has a thread of the project: whether that is deleted is all that is asked here.
const live = /exists \(select from threads t where t\.id = thread_id and t\.deleted_at is null\)/g

/** What is found in src, by statement. */
function found(): Record<string, string[]> {
  const faults: Record<string, string[]> = {}
  for (const { path, name, text } of sqlTexts('src')) {
    if (!/\b(select|insert|update|delete)\b/.test(text)) continue
    const uses = unscoped(scopeOf(text.replaceAll(live, 'true')), ofProjects)
    const key = `${path} ${name}`
    if (uses.length > 0) faults[key] = [...(faults[key] ?? []), ...uses]
  }
  return faults
}

test('every table belongs to projects, or is named as one of the server itself', () => {
  assert.deepEqual(
    tables.map(({ name }) => name).filter((name) => !ofProjects.includes(name)),
    ofServers,
  )
})

test('every SQL text names the project of each table that it uses, or is listed with its reason', () => {
  const faults = found()
  const wrong = Object.entries(faults).filter(([key, uses]) => uses.length !== listed[key]?.[0])
  const said = wrong.map(([key, uses]) => [
    `${key}: ${uses.length}, and listed are ${listed[key]?.[0] ?? 0}`,
    ...uses,
  ])
  assert.equal(said.flat().join('\n'), '')
  assert.deepEqual(
    Object.keys(listed).filter((key) => !(key in faults)),
    [],
  )
})

test('a text that leaves the project out is seen, wherever in a statement it does', () => {
  const count = (text: string) => unscoped(scopeOf(text), ['threads', 'runs']).length
  assert.equal(count('select * from threads where id = $1'), 1)
  assert.equal(count('select * from threads where id = $1 and project_id = $2'), 0)
  assert.equal(count('select id, project_id from threads where id = $1'), 1)
  assert.equal(count("select 'project_id = ' from threads -- project_id = $1"), 1)
  assert.equal(
    count('with a as (select 1 from runs where id = $1) select * from threads where project_id = $2'),
    1,
  )
  assert.equal(count('update runs r set x = 1 from a where r.id = a.id'), 1)
  assert.equal(count('delete from threads using a where threads.project_id = a.project_id'), 0)
  assert.equal(count('insert into runs (id, project_id) values ($1, $2)'), 0)
  assert.equal(count('insert into runs (id) values ($1)'), 1)
})
