import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { dumpSchema, schemaFile } from '../scripts/dump-schema.ts'
import { migrate } from '../src/store/migrate.ts'
import { atEnd, createDatabase } from './support/database.ts'

const db = await createDatabase({ empty: true })
atEnd(() => db.drop())
await migrate({ connectionString: db.url })

test('sql/schema.sql is the schema that the migrations make', async () => {
  const [written, made] = [await readFile(schemaFile, 'utf8'), await dumpSchema((text) => db.sql(text))]
  assert.equal(
    written,
    made,
    'sql/schema.sql is out of date: run `npm run schema:dump` and commit what it writes',
  )
})

test('the dump shows whatever a migration may add', async () => {
  const before = await dumpSchema((text) => db.sql(text))
  const changes: [string, RegExp][] = [
    ['alter table runs add column colour text', /^ {2}colour text,?$/m],
    ['alter table runs alter column colour set default $$red$$', /colour text default 'red'::text/],
    ['alter table runs alter column colour set not null', /colour text not null default/],
    [
      'create index runs_by_colour on runs (colour) where version > 1',
      /CREATE INDEX runs_by_colour .*version > 1/,
    ],
    ['alter table runs add constraint short check (length(colour) < 9)', /constraint short CHECK \(\(length/],
    [
      'create function twice(n int) returns int language sql as $$ select 2 * n $$',
      /FUNCTION public\.twice\(n integer\)/,
    ],
    [
      'create table extra (id bigint generated always as identity primary key)',
      /create table extra \(\n {2}id bigint not null generated always as identity/,
    ],
  ]
  let last = before
  for (const [change, shown] of changes) {
    await db.sql(change)
    const dump = await dumpSchema((text) => db.sql(text))
    assert.notEqual(dump, last, change)
    assert.match(dump, shown)
    last = dump
  }
})
