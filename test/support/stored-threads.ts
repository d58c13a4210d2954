import type { TestServer } from './server.ts'

// Threads that were made over days, some with metadata.

export type History = { id: string; created_at: number; metadata: Record<string, string> }[]

/** Stores 3,000 threads, most of them older than the 60 in front; answers those that still are there in the order of creation. */
export async function createHistory({ db }: TestServer): Promise<History> {
  await db.sql(`insert into threads (id, project_id, created_at, metadata, next_seq)
    select 'thread_old' || i, 'default', 1000 + i,
      case i when 5 then '{"rare": "yes"}'::jsonb else '{}' end, 0
    from generate_series(1, 3000) i order by i`)
  // Several a second, and now and then one whose server's clock was behind.
  await db.sql(`insert into threads (id, project_id, created_at, metadata, next_seq)
    select 'thread_new' || i, 'default', 100000 + i / 3 - case when i % 10 = 0 then 2 else 0 end,
      jsonb_build_object('user', 'u' || i % 7)
        || case when i % 2 = 0 then '{"kind": "common"}' else '{}'::jsonb end
        || case i when 30 then '{"rare": "yes", "Größe 1.5": "\\"[ä]&="}' else '{}'::jsonb end, 0
    from generate_series(1, 60) i order by i`)
  return db.sql('select id, created_at::int, metadata from threads order by created_at, seq')
}
