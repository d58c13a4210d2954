import type { FastifyInstance } from 'fastify'
import { ask, type Operation } from './clients.ts'
import { brokenConnection, type Sent } from './driver.ts'
import { settled } from './outside.ts'
import { Process } from './process.ts'
import { Random } from './random.ts'
import type { RealDatabase } from './real-database.ts'
import { judge } from './verdict.ts'
import { assistantId, Clients, type Plan } from './scenario.ts'
import { ScriptedModel } from './scripted-model.ts'
import { Watch } from './watch.ts'
import { drawWeather, type Weather } from './weather.ts'

/** Something that may happen next. */
export interface Choice {
  weight: number
  /** For the trace: who does what. */
  what: string
  act: (() => void) | (() => Promise<void>)
}

/** What a process has sent. */
interface Item {
  from: Process
  sent: Sent
}

/** Something is not as it was promised. */
export class Violation extends Error {}

const limits = {
  /** Steps of a simulation; one that needs more does not come to its end. */
  steps: 6_000,
  /** Milliseconds of the simulation's time within which all must have ended once all is well again. */
  recovery: 40_000,
}

/**
 * Several server processes over one real database, and everything that happens to them in an order that is drawn from a
 * seed: each statement waits to be let go, runs to its answer, and the answer waits to be delivered; timers, the
 * model, clients and faults are let go in between. The same seed gives the same steps.
 */
export class Simulation {
  readonly seed: number
  readonly database: RealDatabase
  readonly web: FastifyInstance[]
  readonly random: Random
  readonly weather: Weather
  readonly model: ScriptedModel
  readonly clients: Clients
  readonly watch: Watch
  readonly trace: string[] = []
  readonly processes: Process[] = []
  /** What was sent and is not answered yet. */
  parked: Item[] = []
  /** Milliseconds. */
  now = 0
  step = 0
  /** Faults are over and clients are silent: all has to come to its end. */
  calm = false
  nextOperationAt = 0
  /** Until then the database accepts nothing. */
  databaseAwayUntil = -Infinity
  violation: Violation | null = null
  operationsLeft: number
  faultsLeft: number

  constructor(seed: number, database: RealDatabase, web: FastifyInstance[]) {
    this.seed = seed
    this.database = database
    this.web = web
    this.random = new Random(seed)
    this.weather = drawWeather(this.random)
    this.model = new ScriptedModel(
      new Random(seed ^ 0x5eed),
      this.weather.quick,
      () => this.now,
      () => this.step,
    )
    this.clients = new Clients(new Random(seed ^ 0xc11e))
    this.watch = new Watch((text) => this.fail(text))
    this.operationsLeft = this.weather.operations
    this.faultsLeft = this.weather.faults
  }

  /** Throws a Violation if something is not as it was promised. */
  async run(): Promise<void> {
    await this.database.clean()
    await this.database.rows(
      `insert into assistants (id, project_id, created_at, model, tools, metadata, response_format)
       values ($1, 'default', 0, 'mock', '[]', '{}', '"auto"')`,
      [assistantId],
    )
    for (let i = 0; i < this.weather.processes; i++) await this.startProcess()
    while (!this.calm) await this.advance()
    await this.until(() => this.isOver())
    // What everybody can read from now on, at each process.
    const alive = this.processes.filter((process) => process.ready)
    for (const plan of this.clients.lastLook(alive, this.step, (run) => this.watch.hasEnded(run)))
      this.ask(plan)
    await this.until(() => Promise.resolve(this.clients.lastAnswered))
    await judge(this)
  }

  async until(over: () => Promise<boolean>): Promise<void> {
    const since = this.now
    for (this.askAgain(); !(await over()); this.askAgain()) {
      if (this.now - since > limits.recovery) this.fail(`not over after ${limits.recovery} ms without faults`)
      await this.advance()
    }
  }

  fail(text: string): never {
    // Who fails within a process is not heard: the next step throws it once more.
    this.violation ??= new Violation(`step ${this.step}: ${text}`)
    throw this.violation
  }

  async startProcess(): Promise<Process> {
    const process = new Process({
      name: `p${this.processes.length + 1}`,
      random: new Random(this.random.between(0, 2 ** 31)),
      now: () => this.now,
      model: this.model,
      send: (from, sent) => this.send(from, sent),
      accepts: () => this.databaseAwayUntil <= this.now,
      migrated: (text) => this.database.migrated(text),
      capacity: this.weather.capacity,
      silence: 3,
      threadPolicy: this.weather.threadPolicy,
      runTtl: this.weather.runTtl,
      startAfterMs: this.weather.startAfterMs,
      alone: this.weather.processes === 1,
    })
    this.processes.push(process)
    this.note(`start ${process.name}`)
    process.start()
    await this.startsToTalk(process)
    return process
  }

  /** A start reads files before it says anything; that takes a time of its own. */
  async startsToTalk(process: Process): Promise<void> {
    while (process.alive && !this.parked.some(({ from }) => from === process)) await settled()
  }

  /** What a process sends is parked; only of purges, of which there are many, most find nothing without being asked. */
  send(from: Process, sent: Sent): void {
    if (/^(purge|retire)_/.test(sent.name) && this.random.chance(0.8)) sent.settle({ rows: [] })
    else this.parked.push({ from, sent })
  }

  note(what: string): void {
    this.trace.push(`${this.step} ${Math.round(this.now)} ${what}`)
  }

  /** Lets one thing happen, and all that follows from it by itself. */
  async advance(): Promise<void> {
    this.step += 1
    if (this.step > limits.steps) this.fail(`more than ${limits.steps} steps`)
    const choices = this.choices()
    const choice = choices.length > 0 ? this.random.weighted(choices) : null
    if (choice === null) return this.fail('nothing can happen any more')
    this.note(choice.what)
    await choice.act()
    await settled()
    if (this.violation) throw this.violation
  }

  choices(): Choice[] {
    const choices = [...this.statements(), ...this.processChoices(), ...this.modelChoices()]
    choices.push(...this.clientChoices(), ...this.weather.faultChoices(this))
    const target = this.timeTarget()
    if (target > this.now) {
      const weight = choices.length === 0 ? 1 : 1.5
      choices.push({ weight, what: 'time', act: () => this.moveTime(target) })
    }
    return choices
  }

  /** What is on its way to the database or back. */
  statements(): Choice[] {
    const locked = this.database.transaction
    return this.parked.flatMap((item): Choice[] => {
      const { from, sent } = item
      const label = `${from.name} ${sent.name || sent.text.slice(0, 20).replaceAll(/\s+/g, ' ')}`
      if (sent.result === null) {
        if (locked !== null && locked !== sent.connection) return []
        // All others would wait for a transaction until its process wakes up.
        if (sent.text === 'begin' && from.alive && !from.awake) return []
        return [{ weight: 4, what: `execute ${label}`, act: () => this.execute(item) }]
      }
      if (!from.awake || this.mustWait(item)) return []
      return [{ weight: 4, what: `answer ${label}`, act: () => this.answer(item) }]
    })
  }

  /** Who wakes up finds what came in the meantime before anything that it asks from then on. */
  mustWait({ from, sent }: Item): boolean {
    const woke = from.pausedUntil
    const cameBefore = (each: Item) => each.from === from && each.sent.doneAt < woke
    return sent.doneAt >= woke && this.parked.some(cameBefore)
  }

  async execute(item: Item): Promise<void> {
    const { from, sent } = item
    if (sent.text === 'connect' || sent.text.startsWith('listen')) sent.result = { rows: [] }
    else sent.result = await this.database.execute(sent, this.databaseTime)
    sent.doneAt = this.now
    if (sent.text.startsWith('listen') && from.alive) from.listener = sent.connection
    if ('error' in sent.result) this.note(`error ${sent.result.error.message}`)
    if (sent.name === 'notify_runs' && 'rows' in sent.result && sent.result.rows.length > 0)
      this.notify(sent.values[0] as string[])
    // Within a transaction others see nothing of it.
    if (this.database.transaction === null && (isWrite(sent) || sent.text === 'commit'))
      this.watch.observe(await this.database.runs(), from.store?.node ?? from.name, this.step)
    if (!from.alive || sent.abandoned) this.unpark(item)
    if (this.database.transaction === sent.connection && (!from.alive || !sent.connection.open))
      await this.database.rollBack(sent.connection)
  }

  answer(item: Item): void {
    this.unpark(item)
    if (item.sent.result) item.sent.settle(item.sent.result)
  }

  unpark(item: Item): void {
    this.parked = this.parked.filter(({ sent }) => sent !== item.sent)
  }

  /** Postgres tells everyone who listens, also the one who notifies. */
  notify(payloads: string[]): void {
    for (const process of this.processes)
      if (process.alive && process.listener?.open) process.notices.push(...payloads)
  }

  processChoices(): Choice[] {
    return this.processes.flatMap((process) => {
      if (!process.awake) return []
      const choices: Choice[] = []
      if (process.timers.nextDue <= this.now) {
        const act = () => process.run(() => process.timers.fire())
        choices.push({ weight: 5, what: `timer ${process.name}`, act })
      }
      if (process.notices.length > 0) {
        const act = () => {
          const payload = process.notices.shift()
          process.run(() => process.listener?.emit('notification', { payload }))
        }
        choices.push({ weight: 3, what: `notice ${process.name}`, act })
      }
      return choices
    })
  }

  modelChoices(): Choice[] {
    return this.model.due(this.now).map((call) => ({
      weight: 3,
      what: `model ${call.process.name} call ${call.n} of ${call.run}/${call.turn}`,
      act: () => this.note(`said ${this.model.speak(call)}`),
    }))
  }

  clientChoices(): Choice[] {
    if (this.calm || this.now < this.nextOperationAt) return []
    if (this.operationsLeft === 0) return [{ weight: 1, what: 'calm', act: () => this.calmDown() }]
    return [{ weight: 2, what: 'client', act: () => this.operate() }]
  }

  operate(): void {
    const ready = this.processes.filter((process) => process.ready)
    this.nextOperationAt = this.now + this.random.between(0, 250)
    this.operationsLeft -= 1
    if (ready.length === 0) return
    const plan = this.clients.next(this.random.pick(ready), this.step)
    if (plan) this.ask(plan)
  }

  ask({ operation, request }: Plan): void {
    this.note(`${operation.n} ${operation.kind} at ${operation.process.name}`)
    if (this.weather.quick) operation.process.findModelQuick()
    const web = this.web[this.processes.indexOf(operation.process)]
    if (!web) return this.fail('there are more processes than servers')
    ask(web, operation, request, () => this.answered(operation))
  }

  /** Goes on with the streams whose process has gone, and asks again what was not answered and may be asked again. */
  askAgain(): void {
    const ready = this.processes.filter((process) => process.ready)
    if (ready.length === 0) return
    for (const operation of this.clients.unsettled()) {
      const plan = this.clients.retrying(operation, this.random.pick(ready), this.step)
      if (plan) this.ask(plan)
    }
    for (const operation of this.clients.cutStreams()) {
      const plan = this.clients.rejoining(operation, this.random.pick(ready), this.step)
      if (plan) this.ask(plan)
    }
  }

  answered(operation: Operation): void {
    operation.answeredAt = this.step
    this.note(`${operation.n} ${operation.kind} answered ${operation.status} ${operation.body.status ?? ''}`)
    const { status, kind, body } = operation
    const excused = status === 503 && this.weather.faults > 0
    if (status === -1 || (status !== null && status >= 500 && !excused))
      this.fail(`${operation.n} ${kind} was answered ${status}: ${body.error?.message}`)
  }

  /** No more faults, and enough processes. */
  async calmDown(): Promise<void> {
    this.calm = true
    this.databaseAwayUntil = -Infinity
    for (const process of this.processes) process.pausedUntil = Math.min(process.pausedUntil, this.now)
    if (!this.processes.some(({ alive }) => alive)) await this.startProcess()
  }

  /** The database's clock, in seconds; the process's own have nothing to do with it. */
  get databaseTime(): number {
    return 1_900_000_000 + this.now / 1_000
  }

  /** How far time may go now: what is on its way does not take for ever, and nothing is skipped. */
  timeTarget(): number {
    const { patience } = this.weather
    const bound = Math.min(
      Infinity,
      ...this.parked
        .filter(({ from, sent }) => from.awake || (sent.result === null && sent.text !== 'begin'))
        .map(({ sent }) => sent.at + patience),
    )
    const next = Math.min(
      this.model.nextDue,
      this.calm ? Infinity : this.nextOperationAt,
      this.databaseAwayUntil > this.now ? this.databaseAwayUntil : Infinity,
      ...this.processes.flatMap(({ alive, awake, timers, pausedUntil }) =>
        alive ? [awake ? timers.nextDue : pausedUntil] : [],
      ),
    )
    return Math.min(Math.max(next, this.now), bound)
  }

  moveTime(target: number): void {
    this.now = target
    // What may be late is late at times.
    if (this.parked.length === 0 && this.random.chance(0.1)) this.now += this.random.between(1, 40)
  }

  breakConnection({ from, sent }: Item): void {
    sent.connection.open = false
    if (from.alive) from.run(() => sent.settle({ error: brokenConnection() }))
    sent.abandoned = true
  }

  /** Whether nothing is left to be done by itself. */
  async isOver(): Promise<boolean> {
    if (this.parked.some(({ sent }) => isWrite(sent))) return false
    if (this.clients.operations.some((operation) => operation.kind !== 'follow' && isWaiting(operation)))
      return false
    if (this.model.calls.some(({ state, process }) => state === 'open' && process.alive)) return false
    if (this.clients.unsettled().length > 0) return false
    if (this.step % 20 !== 0) return false
    const runs = (await this.database.runs()).filter(({ deleted }) => !deleted)
    // What waits for a thread that nobody holds is about to get it.
    const held = new Set(
      runs.flatMap(({ status, thread_id }) => (status === 'requires_action' ? thread_id : [])),
    )
    const settled = (run: (typeof runs)[number]) =>
      run.status === 'waiting'
        ? held.has(run.thread_id)
        : !['queued', 'in_progress', 'cancelling'].includes(run.status)
    return runs.every(settled)
  }
}

/** A stream of a run that waits for its client does not end. */
const isWaiting = ({ process, status }: Operation) => process.alive && status === null

const writing = /\b(insert into|update \w+( \w+)? set|delete from)\b/i
const reads = new Map<string, boolean>()

function isWrite({ text }: Sent): boolean {
  let known = reads.get(text)
  if (known === undefined) reads.set(text, (known = writing.test(text)))
  return known
}
