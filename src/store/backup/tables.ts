import type pg from 'pg'
import type { Migration } from '../migrate.ts'

// Which tables a backup holds: those that the migrations make, so that others in the same database are left alone.

/** Rows of servers that live now; a restored database has none. */
const notKept = ['nodes', 'threadmill_migrations']

/** The tables of these migrations, in the order in which they are made. */
export function tablesOf(migrations: readonly Migration[]): string[] {
  const all = migrations.map(({ sql }) => sql).join('\n')
  const named = (pattern: RegExp) => [...all.matchAll(pattern)].map(([, name = '']) => name)
  const dropped = new Set(named(/^\s*drop table (?:if exists )?(\w+)/gim))
  return named(/^\s*create table (?:if not exists )?(\w+)/gim).filter(
    (name) => !dropped.has(name) && !notKept.includes(name),
  )
}

export interface TableText {
  name: string
  columns: string[]
  copyOut: string
}

// Each table comes behind those that it refers to.
const textsText = `
with recursive ours as (
  select c.oid, c.relname as name, ord
  from unnest($1::text[]) with ordinality as u(name, ord)
  join pg_class c on c.oid = to_regclass(quote_ident(u.name)) and c.relkind = 'r'
), depths as (
  select oid, 0 as depth from ours
  union
  select k.conrelid, depth + 1 from depths
  join pg_constraint k on k.confrelid = depths.oid and k.contype = 'f' and k.conrelid <> k.confrelid
  where depth < 100
), columns as (
  select attrelid as oid, array_agg(attname::text order by attnum) as names,
    string_agg(quote_ident(attname), ', ' order by attnum) as list
  from pg_attribute
  where attrelid in (select oid from ours) and attnum > 0 and not attisdropped and attgenerated = ''
  group by attrelid
)
select ours.name, columns.names as columns, format('copy %I (%s) to stdout', ours.name, columns.list) as "copyOut"
from ours join columns using (oid)
order by (select max(depth) from depths where depths.oid = ours.oid), ord`

/** The statements that read these tables. */
export async function tableTexts(client: pg.ClientBase, tables: string[]): Promise<TableText[]> {
  const { rows } = await client.query<TableText>(textsText, [tables])
  const missing = tables.filter((table) => !rows.some(({ name }) => name === table))
  if (missing.length > 0) throw new Error(`the database has no table ${missing.join(', ')}`)
  return rows
}

const copyInText = `
select format('copy %I (%s) from stdin', $1::text, string_agg(quote_ident(name), ', ' order by ord)) as text
from unnest($2::text[]) with ordinality as u(name, ord)`

/** The statement that fills a table. */
export async function copyInOf(client: pg.ClientBase, table: string, columns: string[]): Promise<string> {
  const { rows } = await client.query<{ text: string }>(copyInText, [table, columns])
  return rows[0]?.text ?? ''
}

const presentText = `
select name from unnest($1::text[]) as u(name) where to_regclass(quote_ident(name)) is not null limit 1`

/** One of these tables that the database has, or null. */
export async function presentTable(client: pg.ClientBase, tables: string[]): Promise<string | null> {
  const { rows } = await client.query<{ name: string }>(presentText, [tables])
  return rows[0]?.name ?? null
}

const emptyText = `select format('truncate %s', string_agg(quote_ident(name), ', ')) as text from unnest($1::text[]) as u(name)`

/** Removes the rows that the migrations themselves have put into these tables. */
export async function emptyTables(client: pg.ClientBase, tables: string[]): Promise<void> {
  const { rows } = await client.query<{ text: string }>(emptyText, [tables])
  await client.query(rows[0]?.text ?? '')
}

const sequencesText = `
select format('select setval(%L, coalesce((select max(%I) from %I), 0) + 1, false)',
  pg_get_serial_sequence(quote_ident(c.relname), a.attname), a.attname, c.relname) as text
from pg_attribute a join pg_class c on c.oid = a.attrelid
where c.oid = any(select to_regclass(quote_ident(name)) from unnest($1::text[]) as u(name)) and attidentity <> ''`

/** Lets the counters of these tables go on behind their rows. */
export async function setSequences(client: pg.ClientBase, tables: string[]): Promise<void> {
  const { rows } = await client.query<{ text: string }>(sequencesText, [tables])
  for (const { text } of rows) await client.query(text)
}
