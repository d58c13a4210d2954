import type pg from 'pg'

// Fills a database with copies of what a client made through the API, so that every column holds what the server itself
// writes, whatever the schema is by now.

const batch = 20_000

/** Copies a thread with its messages, runs and steps `count` times; `run` replaces columns of the copied runs. */
export async function cloneThreads(
  client: pg.Client,
  thread: string,
  count: number,
  run: object = {},
): Promise<void> {
  await client.query('set synchronous_commit = off')
  for (let first = 1; first <= count; first += batch) {
    const range = [thread, first, Math.min(count, first + batch - 1)]
    await copyThreads(client, range)
    await copyMessages(client, range)
    await copyRuns(client, [...range, JSON.stringify(run)])
    await copySteps(client, range)
  }
  await settle(client)
}

/** Adds `count` copies of a thread's only message to it. */
export async function lengthenThread(client: pg.Client, thread: string, count: number): Promise<void> {
  await client.query('set synchronous_commit = off')
  await client.query(
    `insert into messages select n.* from messages m cross join generate_series(1, $2::int) i
      cross join lateral jsonb_populate_record(m,
        jsonb_build_object('id', 'msg_' || lpad(i::text, 8, '0') || substr(md5(i::text), 1, 16), 'seq', m.seq + i)) n
      where m.thread_id = $1`,
    [thread, count],
  )
  await client.query('update threads set next_seq = next_seq + $2 where id = $1', [thread, count])
  await settle(client)
}

/** What autovacuum would do some minutes later, so that it does not do it while something is measured. */
async function settle(client: pg.Client): Promise<void> {
  await client.query('vacuum (analyze)')
  await client.query('checkpoint')
}

// The ids of the copies grow, and end at random, as real ones do.

function copyThreads(client: pg.Client, values: unknown[]): Promise<unknown> {
  return client.query(
    `insert into threads overriding system value select n.* from threads t
      cross join generate_series($2::int, $3::int) i
      cross join lateral jsonb_populate_record(t, jsonb_build_object('id', 'thread_' || lpad(i::text, 8, '0') || substr(md5(i::text), 1, 16),
        'seq', nextval(pg_get_serial_sequence('threads', 'seq')))) n
      where t.id = $1`,
    values,
  )
}

function copyMessages(client: pg.Client, values: unknown[]): Promise<unknown> {
  return client.query(
    `insert into messages select n.* from messages m cross join generate_series($2::int, $3::int) i
      cross join lateral jsonb_populate_record(m,
        jsonb_build_object('thread_id', 'thread_' || lpad(i::text, 8, '0') || substr(md5(i::text), 1, 16))) n
      where m.thread_id = $1`,
    values,
  )
}

function copyRuns(client: pg.Client, values: unknown[]): Promise<unknown> {
  return client.query(
    `insert into runs select n.* from runs r cross join generate_series($2::int, $3::int) i
      cross join lateral jsonb_populate_record(r,
        jsonb_build_object('thread_id', 'thread_' || lpad(i::text, 8, '0') || substr(md5(i::text), 1, 16)) || $4::jsonb) n
      where r.thread_id = $1`,
    values,
  )
}

function copySteps(client: pg.Client, values: unknown[]): Promise<unknown> {
  return client.query(
    `insert into run_steps select n.* from run_steps s cross join generate_series($2::int, $3::int) i
      cross join lateral jsonb_populate_record(s,
        jsonb_build_object('thread_id', 'thread_' || lpad(i::text, 8, '0') || substr(md5(i::text), 1, 16))) n
      where s.thread_id = $1`,
    values,
  )
}
