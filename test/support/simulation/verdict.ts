import type { Frame, Operation } from './clients.ts'
import { markOf } from './scenario.ts'
import type { Simulation } from './simulation.ts'
import { judgeEvents } from './verdict-events.ts'

// What must be true at the end of a simulation: of what clients were told, of what is stored, and of both together.

interface StoredMessage {
  id: string
  thread_id: string
  seq: number
  role: string
  status: string
  text: string | null
  run_id: string | null
}

interface StoredRun {
  id: string
  thread_id: string
  mark: string
  status: string
  turns: number
  total_tokens: number
  steps_tokens: number
  open_steps: number
}

export interface Ledger {
  messages: StoredMessage[]
  /** Texts of messages that wait for their thread. */
  waiting: string[]
  runs: StoredRun[]
  threads: { id: string; active_run_id: string | null; deleted: boolean }[]
}

const ended = new Set(['completed', 'failed', 'incomplete', 'cancelled', 'expired'])

/** Throws a Violation if something is not as it was promised. */
export async function judge(simulation: Simulation): Promise<void> {
  const ledger = await readLedger(simulation)
  const judges = [
    judgeTries,
    judgeMessages,
    judgeOrder,
    judgeLists,
    judgeRuns,
    judgeTurns,
    judgeThreads,
    judgeReads,
    judgeEvents,
  ]
  for (const judgeIt of judges) judgeIt(simulation, ledger)
}

async function readLedger({ database }: Simulation): Promise<Ledger> {
  const messages = await database.rows<StoredMessage>(
    `select id, thread_id, seq, role, status, content -> 0 -> 'text' ->> 'value' as text, run_id
     from messages order by thread_id, seq`,
  )
  const runs = await database.rows<StoredRun>(
    `select id, thread_id, settings ->> 'instructions' as mark, status, turns, total_tokens,
       coalesce((select sum(total_tokens)::int from run_steps s
         where s.thread_id = runs.thread_id and s.run_id = runs.id), 0) as steps_tokens,
       (select count(*)::int from run_steps s
         where s.thread_id = runs.thread_id and s.run_id = runs.id and s.status = 'in_progress') as open_steps
     from runs order by id`,
  )
  const threads = await database.rows<Ledger['threads'][number]>(
    'select id, active_run_id, deleted_at is not null as deleted from threads order by id',
  )
  const waiting = await database.rows<{ text: string }>(
    `select message -> 'content' -> 0 -> 'text' ->> 'value' as text
     from thread_queue, jsonb_array_elements(messages) message`,
  )
  return { messages, runs, threads, waiting: waiting.map(({ text }) => text) }
}

type Fate = 'done' | 'not done' | 'unknown'

function fateOfOne({ status, headers }: Operation): Fate {
  if (status === 200) return 'done'
  if (status === null || headers['x-should-retry'] === 'false') return 'unknown'
  return 'not done'
}

/** All tries of one request. */
function triesOf({ clients }: Simulation, { first }: Operation): Operation[] {
  return clients.operations.filter((operation) => operation.first === first)
}

function firstTries({ clients }: Simulation): Operation[] {
  return clients.operations.filter(({ n, first }) => n === first)
}

/** Whether an operation, in one try or another, has done what it says: yes, no, or nobody can know. */
function fateOf(simulation: Simulation, operation: Operation): Fate {
  const fates = triesOf(simulation, operation).map(fateOfOne)
  return fates.find((fate) => fate === 'done') ?? fates.find((fate) => fate === 'unknown') ?? 'not done'
}

/** Requests that were sent with a key, and again with the same. */
function judgeTries(simulation: Simulation): void {
  for (const operation of simulation.clients.operations) {
    const ids = new Set(
      triesOf(simulation, operation).flatMap((each) => (each.status === 200 ? (idOf(each) ?? []) : [])),
    )
    if (ids.size > 1) simulation.fail(`${operation.n} ${operation.kind} was answered with ${[...ids].join()}`)
  }
}

/** What a client was told that it made or changed. */
function idOf({ kind, body, frames }: Operation): string | undefined {
  if (kind !== 'stream_run') return body.id
  const created = frames.find(({ event }) => event === 'thread.run.created')
  return created && String(created.data['id'])
}

const writers = new Set(['create_thread', 'create_thread_and_run', 'add_message', 'create_run', 'stream_run'])

function threadOf(simulation: Simulation, operation: Operation): string | null {
  const { kind, thread } = operation
  if (thread !== null) return thread
  const told = triesOf(simulation, operation).find(({ status }) => status === 200)?.body
  return (kind === 'create_thread' ? told?.id : told?.thread_id) ?? null
}

/** Whether a client tried to delete the thread: then its rows may be gone. */
function mayBeGone(simulation: Simulation, thread: string | null): boolean {
  return simulation.clients.operations.some(
    (operation) =>
      operation.kind === 'delete_thread' &&
      operation.thread === thread &&
      fateOf(simulation, operation) !== 'not done',
  )
}

/** I5: what was acknowledged is there, once; what was refused is not. */
function judgeMessages(simulation: Simulation, { messages, waiting }: Ledger): void {
  for (const operation of firstTries(simulation)) {
    if (!writers.has(operation.kind) || mayBeGone(simulation, threadOf(simulation, operation))) continue
    for (const text of operation.texts) {
      const shown = messages.filter((message) => message.text === text).length
      // What waits twice is shown once.
      const found = shown > 0 ? shown : Number(waiting.includes(text))
      const deletions = simulation.clients.operations.filter(
        ({ kind, texts }) => kind === 'delete_message' && texts.includes(text),
      )
      const least =
        fateOf(simulation, operation) === 'done' &&
        deletions.every((d) => fateOf(simulation, d) === 'not done')
          ? 1
          : 0
      const most =
        fateOf(simulation, operation) === 'not done' ||
        deletions.some((d) => fateOf(simulation, d) === 'done')
          ? 0
          : 1
      if (found < least || found > most) {
        const told = `${operation.n} ${operation.kind} was answered ${operation.status}`
        simulation.fail(`message ${text} is there ${found} times, although ${told} (I5)`)
      }
    }
  }
}

/** Messages of clients whose writes did not overlap stand in the order of their writes. */
function judgeOrder(simulation: Simulation, { messages }: Ledger): void {
  const writes = new Map(
    firstTries(simulation)
      .filter(({ kind }) => writers.has(kind))
      .flatMap((first) => {
        const done = triesOf(simulation, first).find(({ status }) => status === 200)
        return first.texts.map((text) => [
          text,
          { sentAt: first.sentAt, doneAt: done?.answeredAt ?? Infinity },
        ])
      }),
  )
  const users = messages.filter(({ role }) => role === 'user')
  for (const [i, later] of users.entries()) {
    for (const former of users.slice(0, i).filter(({ thread_id }) => thread_id === later.thread_id)) {
      const [a, b] = [writes.get(former.text ?? ''), writes.get(later.text ?? '')]
      if (!a || !b) return simulation.fail(`a message that nobody wrote: ${former.text} or ${later.text}`)
      if (b.doneAt < a.sentAt)
        simulation.fail(`message ${former.text} stands before ${later.text}, which was there first`)
    }
  }
}

/** What a list shows is what was acknowledged before, in the order of the thread; at last, the same everywhere. */
function judgeLists(simulation: Simulation, { messages }: Ledger): void {
  const { operations } = simulation.clients
  for (const list of operations.filter(({ kind, status }) => kind === 'list_messages' && status === 200)) {
    const shown = list.body.data?.map(({ id }) => id) ?? []
    const stored = messages.filter(({ thread_id }) => thread_id === list.thread).map(({ id }) => id)
    if (mayBeGone(simulation, list.thread)) continue
    const places = shown.map((id) => stored.indexOf(id)).filter((place) => place >= 0)
    if (places.some((place, i) => i > 0 && place <= (places[i - 1] ?? 0)))
      simulation.fail(`${list.n} list_messages shows another order than the thread has`)
    // A run that expires at last lets in what waits for its thread.
    const settled = list.last && simulation.weather.runTtl >= 600
    if (settled && shown.join() !== stored.join())
      simulation.fail(`${list.n} list_messages at ${list.process.name} does not show what is stored`)
    const texts = new Set(list.body.data?.map(({ content }) => content[0]?.text.value))
    for (const write of operations) {
      // A message that waits for its thread is not seen before it has its place.
      if (simulation.weather.threadPolicy !== 'reject') continue
      const before = write.answeredAt !== null && write.answeredAt < list.sentAt
      if (
        !writers.has(write.kind) ||
        write.status !== 200 ||
        !before ||
        threadOf(simulation, write) !== list.thread
      )
        continue
      for (const text of write.texts)
        if (
          !texts.has(text) &&
          !operations.some((o) => o.kind === 'delete_message' && o.texts.includes(text))
        )
          simulation.fail(`${list.n} list_messages does not show ${text}, which was acknowledged before`)
    }
  }
}

/** I2, I3, I5, I6, I7: runs as they stand at the end. */
function judgeRuns(simulation: Simulation, { runs, messages }: Ledger): void {
  for (const operation of firstTries(simulation)) {
    if (!['create_run', 'stream_run', 'create_thread_and_run'].includes(operation.kind)) continue
    const found = runs.filter(({ mark }) => mark === markOf(operation)).length
    const fate = fateOf(simulation, operation)
    const least = fate === 'done' && !mayBeGone(simulation, threadOf(simulation, operation)) ? 1 : 0
    if (found < least || found > (fate === 'not done' ? 0 : 1))
      simulation.fail(
        `${operation.n} ${operation.kind} was answered ${operation.status}, and ${found} runs are there`,
      )
  }
  for (const run of runs) {
    if (!ended.has(run.status)) continue
    if (run.open_steps > 0)
      simulation.fail(`run ${run.id} is ${run.status} with ${run.open_steps} open steps`)
    if (run.status === 'completed' && run.total_tokens !== run.steps_tokens)
      simulation.fail(`run ${run.id} used ${run.total_tokens} tokens, its steps ${run.steps_tokens} (I7)`)
    if (messages.some(({ run_id, status }) => run_id === run.id && status === 'in_progress'))
      simulation.fail(`run ${run.id} is ${run.status} with an open message`)
  }
}

/** I4, I7: a finished turn is one call of the model, whole, and is not made again. */
function judgeTurns(simulation: Simulation, { runs, messages }: Ledger): void {
  const { calls } = simulation.model
  for (const message of messages.filter(({ role }) => role === 'assistant')) {
    const call = calls.find(
      ({ n }) => message.text === null || message.text === '' || message.text.startsWith(`#${n} `),
    )
    if (!call) return simulation.fail(`message ${message.id} says what no model said: ${message.text}`)
    if (message.status === 'completed' && message.text !== call.text && message.text !== '')
      simulation.fail(`message ${message.id} says "${message.text}", the model said "${call.text}" (I7)`)
    if (message.text && messages.filter(({ text }) => text === message.text).length > 1)
      simulation.fail(`the model's answer ${call.n} is stored twice`)
  }
  for (const { id, mark } of runs) {
    const life = simulation.watch.lives.get(id) ?? []
    for (const call of calls.filter(({ run }) => run === mark)) {
      const finished = life.find(({ turns }) => turns > call.turn)
      if (finished && finished.step < call.step)
        simulation.fail(
          `call ${call.n} made turn ${call.turn} of ${mark} again, which had ended in step ${finished.step}`,
        )
    }
    for (const [turn, made] of Map.groupBy(
      calls.filter(({ run }) => run === mark),
      (call) => call.turn,
    ))
      if (made.length > (simulation.weather.faults === 0 ? 1 : 3))
        simulation.fail(`turn ${turn} of ${mark} was asked of the model ${made.length} times`)
  }
}

function judgeThreads(simulation: Simulation, { threads, runs }: Ledger): void {
  for (const { id, active_run_id, deleted } of threads) {
    const holder = runs.find((run) => run.id === active_run_id)
    if (active_run_id !== null && (holder === undefined || deleted || ended.has(holder.status)))
      simulation.fail(`thread ${id} is held by ${active_run_id}, which is not active (I3)`)
  }
  for (const operation of simulation.clients.operations) {
    const { kind, thread, status } = operation
    const there = (id: string | null) => threads.some((t) => t.id === id && !t.deleted)
    if (kind === 'delete_thread' && status === 200 && there(thread))
      simulation.fail(`thread ${thread} is there, although its deletion was acknowledged (I5)`)
    const made = kind === 'create_thread' || kind === 'create_thread_and_run'
    if (
      made &&
      status === 200 &&
      !mayBeGone(simulation, threadOf(simulation, operation)) &&
      !there(threadOf(simulation, operation))
    )
      simulation.fail(`thread ${threadOf(simulation, operation)} is gone, although it was acknowledged (I5)`)
  }
}

/** What a client was shown of a run is what the run was at some moment between its question and the answer. */
function judgeReads(simulation: Simulation): void {
  for (const { kind, n, first, status, body, run, sentAt, answeredAt } of simulation.clients.operations) {
    if (!['get_run', 'poll', 'modify_run', 'cancel', 'submit'].includes(kind) || status !== 200) continue
    // What is answered again is as it was at first.
    if (first !== n) continue
    const life = simulation.watch.lives.get(run ?? '') ?? []
    // A node that is alone answers from memory: with what it was last told, while a commit's answer is on its way.
    const behind = simulation.weather.processes === 1 ? 2 : 1
    const then = life.filter(
      ({ step }, i) => step <= (answeredAt ?? Infinity) && (life[i + behind]?.step ?? Infinity) >= sentAt,
    )
    if (!then.some((moment) => (moment.status === 'waiting' ? 'queued' : moment.status) === body.status))
      simulation.fail(
        `${n} ${kind} was shown ${body.status}; the run was ${then.map((m) => m.status).join()} then`,
      )
  }
}

export type { Frame }
