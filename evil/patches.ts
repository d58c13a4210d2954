// Changes that each break a promise in one place, as a tired author might. The tests have to notice every one.

export interface Edit {
  file: string
  /** Must be there exactly once. */
  find: string
  replace: string
}

export interface EvilPatch {
  name: string
  /** What would go wrong. */
  harm: string
  edits: Edit[]
  /** Test files that are to notice it. */
  tests: string[]
  /** Of them, which tests: the others would only take long to fail. */
  titles?: string
}

export const evilPatches: EvilPatch[] = [
  {
    name: 'no token guard',
    harm: 'a node whose run was taken over writes to it as if it still were its own',
    edits: [
      {
        file: 'src/domain/run.ts',
        find: `if (lease === null || lease.node !== event.lease.node || lease.epoch !== event.lease.epoch) return 'drop'`,
        replace: `if (lease === null) return 'drop'`,
      },
    ],
    tests: ['test/run-properties.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'no version guard',
    harm: 'of two changes of a run that were made from the same state, both are written',
    edits: [
      {
        file: 'src/store/thread-write-sql.ts',
        find: 'then present_version = from_version and',
        replace: 'then',
      },
    ],
    tests: ['test/store-guards.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'publish before commit',
    harm: 'streams and polls tell of what may never be stored',
    edits: [
      {
        file: 'src/store/run-writes.ts',
        find: '  const written = await store.write({\n',
        replace: '  announce(store, next, batch)\n  const written = await store.write({\n',
      },
    ],
    tests: ['test/stream.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'no re-LISTEN',
    harm: 'a node whose connection broke never again hears of what others do',
    edits: [
      {
        file: 'src/store/notices.ts',
        find: 'if (this.#closed || this.#client !== client) return\n    if (this.#check)',
        replace: 'if (this.#client !== null) return\n    if (this.#check)',
      },
    ],
    tests: ['test/events-nodes.test.ts'],
    titles: 'a node whose connection for notices was cut|a cancel on another node',
  },
  {
    name: 'no folding of two writes of one run',
    harm: 'one statement is to change a row twice, and keeps an arbitrary one of the changes',
    edits: [{ file: 'src/store/group-commit.ts', find: ' && !threads.has(thread)', replace: '' }],
    tests: ['test/store-batches.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'no epoch in event ids',
    harm: 'two owners of a run give the same id to different events',
    edits: [
      {
        file: 'src/domain/event-log.ts',
        find: 'return `${term}.${no}`',
        replace: 'return `${Math.min(term, 1)}.${no}`',
      },
    ],
    tests: ['test/events.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'no promotion of queued runs',
    harm: 'a thread is left, and what waits for it waits for ever',
    edits: [
      {
        file: 'src/store/promotion.ts',
        find: 'await promote(client, idsOf(left), promoter)',
        replace: 'await promote(client, idsOf(left).slice(0, 0), promoter)',
      },
    ],
    tests: ['test/thread-queue-store.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'replay decided by the conflict',
    harm: 'a write that was lost counts as done because someone else has done something',
    edits: [
      {
        file: 'src/store/group-commit.ts',
        find: `if (waiting.replayed && outcome.outcome !== 'ok') return false`,
        replace: `if (waiting.replayed && outcome.outcome !== 'ok') outcome = ok`,
      },
    ],
    tests: ['test/lost-commits.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'engine writes after the deletion of a thread',
    harm: 'a run goes on in a thread that its user has deleted',
    edits: [
      {
        file: 'src/store/thread-write-sql.ts',
        find: 'and deleted_at is null\n    limit 1 for update skip locked',
        replace: `and (deleted_at is null or op.kind in ('advance', 'log'))\n    limit 1 for update skip locked`,
      },
      {
        file: 'src/store/thread-write-sql.ts',
        find: `when kind = 'advance' or (kind = 'delete_thread' and coalesce(active_run_id, run_id) is not null)`,
        replace: `when kind = 'delete_thread' then true when kind = 'advance'`,
      },
      {
        file: 'src/store/delete-thread.ts',
        find: 'const run = runId === null ? null :',
        replace: 'const run = runId !== undefined ? null :',
      },
    ],
    tests: ['test/threads.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'no reconciliation at the heartbeat',
    harm: 'a run that its owner lost sight of stays with it for ever',
    edits: [
      {
        file: 'src/engine/sweep.ts',
        find: `    await this.#attempt('runs of this node', () => this.#reconcile())\n`,
        replace: `    if (this.#busy.has('')) await this.#reconcile()\n`,
      },
    ],
    tests: ['test/leases.test.ts', 'test/simulation.test.ts'],
  },
  {
    name: 'age before life',
    harm: 'a thread is deleted for its age while it has a run, or was given a message a moment ago',
    edits: [
      {
        file: 'src/store/retention.ts',
        find: 'select id, next_seq from page\n  where active_run_id is null and waiting = 0\n    and not exists',
        replace: 'select id, next_seq from page\n  where true or not exists',
      },
      {
        file: 'src/store/retention.ts',
        find: 'next_seq = idle.next_seq and active_run_id is null and waiting = 0 and deleted_at is null',
        replace: 'deleted_at is null',
      },
    ],
    tests: ['test/retention.test.ts'],
  },
  {
    name: 'no project guard',
    harm: 'whoever knows the id of a run reads it, whatever project it is of',
    edits: [
      {
        file: 'src/store/runs.ts',
        find: 'const selectText = `select ${runColumns} from runs where thread_id = $2 and id = $3 and project_id = $1',
        replace:
          'const selectText = `select ${runColumns} from runs where thread_id = $2 and id = $3 and (project_id = $1 or true)',
      },
    ],
    tests: ['test/projects.test.ts'],
  },
  {
    name: 'traces that tell all',
    harm: 'what people and models wrote goes to a collector that nobody asked to have it',
    edits: [
      {
        file: 'src/observe/chat-span.ts',
        find: `this.answer = options.content ? { text: '', calls: [] } : null`,
        replace: `this.answer = { text: '', calls: [] }`,
      },
    ],
    tests: ['test/canaries.test.ts'],
  },
  {
    name: 'a turn that nobody pays',
    harm: 'whoever deletes the thread while the model answers uses as many tokens as he likes',
    edits: [
      {
        file: 'src/engine/run-task.ts',
        find: 'if (!done) await chargeLost(',
        replace: 'if (done && !done) await chargeLost(',
      },
    ],
    tests: ['test/token-limits.test.ts'],
    titles: 'a thread that is deleted while the model answers',
  },
  {
    name: 'a key that is forgotten',
    harm: 'a run that another node carries on is charged to nobody, and its key has tokens without end',
    edits: [
      {
        file: 'src/http/run-actions.ts',
        find: '...(key && { key })',
        replace: '...(key && { kez: key })',
      },
    ],
    tests: ['test/token-limits.test.ts'],
    titles: 'held to its own limit on every node',
  },
  {
    name: 'a thread counted too early',
    harm: 'writes that wait for others find room that these have taken',
    edits: [
      {
        file: 'src/store/thread-write-sql.ts',
        find: '+ h.next_seq - (select next_seq from threads where id = h.thread_id limit 1) > b.most',
        replace: '> b.most',
      },
    ],
    tests: ['test/size-limits.test.ts'],
    titles: 'had to wait while another came in',
  },
  {
    name: 'a body that is read to its end',
    harm: 'a key that may send little makes the server read 32 MiB',
    edits: [
      {
        file: 'src/http/size-limits.ts',
        find: 'if (left >= 0) return done(null, data)',
        replace: 'if (left >= -Infinity) return done(null, data)',
      },
    ],
    tests: ['test/size-limits.test.ts'],
    titles: 'larger than its key or project may send',
  },
  {
    name: 'purges that wait for each other',
    harm: 'what deleted threads left stays for as long as Postgres ends one purge or the other as a deadlock',
    edits: [{ file: 'src/store/threads.ts', find: '\n    for update of x skip locked)', replace: ')' }],
    tests: ['test/purge.test.ts'],
  },
  {
    name: 'a pass that does not look again',
    harm: 'threads go on being deleted for their age after their owner has said that they are kept',
    edits: [
      {
        file: 'src/engine/retention.ts',
        find: 'const retained = await retainedProjects(pool, this.#otherwise)',
        replace: 'const retained = (this.#all ??= await retainedProjects(pool, this.#otherwise))',
      },
      {
        file: 'src/engine/retention.ts',
        find: '  #after = firstPlace\n  #nextPass',
        replace: '  #all: Retained[] | null = null\n  #after = firstPlace\n  #nextPass',
      },
      {
        file: 'src/engine/retention.ts',
        find: '    this.#projects = null\n',
        replace: '    this.#projects = null\n    this.#all = null\n',
      },
    ],
    tests: ['test/retention.test.ts'],
  },
  {
    name: 'a backup that takes a name',
    harm: 'a file that appears while a backup is written is gone',
    edits: [
      {
        file: 'src/cli/backup.ts',
        find: 'await link(partial, file)',
        replace: 'return await rename(partial, file)',
      },
    ],
    tests: ['test/backup-faults.test.ts'],
    titles: 'a file that appears',
  },
  {
    name: 'connections that end between two requests',
    harm: 'a call that asks again fails when its project is given another endpoint meanwhile',
    edits: [
      { file: 'src/models/project-models.ts', find: 'while (this.#calls > 0)', replace: 'while (false)' },
    ],
    tests: ['test/project-models.test.ts'],
    titles: 'connections to a project',
  },
  {
    name: 'early without a look at the lane',
    harm: 'a message that is on its way when a run is created is not shown to the model',
    edits: [
      {
        file: 'src/store/writes.ts',
        find: '!commits.isBusyWith(thread.id)',
        replace: 'true',
      },
    ],
    tests: ['test/early-turns.test.ts'],
  },
  {
    name: 'an early turn outlives its run',
    harm: 'the model goes on for a run that could not be created, and its turn keeps a place',
    edits: [
      {
        file: 'src/engine/tasks.ts',
        find: `      if (!yes) entry.task.interrupt('gone')\n`,
        replace: '',
      },
    ],
    tests: ['test/early-turns.test.ts'],
    titles: 'broken off',
  },
  {
    name: 'no log of a run that goes on',
    harm: 'streams of a run that asked for tools with its creation do not know how it began',
    edits: [
      {
        file: 'src/store/thread-write-rows.ts',
        find: 'if (turn?.log?.ends) return []',
        replace: 'if (turn) return []',
      },
    ],
    tests: ['test/early-turns.test.ts'],
    titles: 'has a log',
  },
]
