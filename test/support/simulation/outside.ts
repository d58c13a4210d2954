import { AsyncLocalStorage } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import timersPromises from 'node:timers/promises'
import pg from 'pg'

// What a process of the simulation sees of the outside: clocks, timers, randomness and the way to Postgres. All of
// that is its own although several run in this one: which of them a piece of code belongs to is told by its async
// context. Code that belongs to none, such as the scheduler and the real driver below it, sees the genuine things.

export interface Timer {
  ref(): Timer
  unref(): Timer
  hasRef(): boolean
  refresh(): Timer
  close(): void
  [Symbol.dispose](): void
  [Symbol.toPrimitive](): number
}

/** The outside of one process. */
export interface Outside {
  /** Milliseconds of its monotonic clock. */
  monotonic(): number
  /** Milliseconds of its wall clock, which may be wrong. */
  wall(): number
  random(): number
  /** `every` repeats it. */
  startTimer(work: () => void, ms: number, every: boolean): Timer
  stopTimer(timer: unknown): boolean
  createPool(options: pg.PoolConfig): unknown
  createClient(options: pg.ClientConfig): unknown
}

const inside = new AsyncLocalStorage<Outside>()

/** Runs `work`, and all that comes of it, as part of a process. */
export function runInside<T>(outside: Outside, work: () => T): T {
  return inside.run(outside, work)
}

/** Whose code is running now; undefined if it belongs to none. */
export function currentOutside(): Outside | undefined {
  return inside.getStore()
}

/** All that was about to happen by itself has happened when it resolves; also what streams put off, and then put off again. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => genuine.setImmediate(resolve))
}

const genuine = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  setImmediate: globalThis.setImmediate,
  now: performance.now.bind(performance),
  dateNow: Date.now,
  random: Math.random,
  delay: timersPromises.setTimeout,
  Pool: pg.Pool,
  Client: pg.Client,
}

type Callback = (...args: unknown[]) => void

const starting =
  (kind: 'setTimeout' | 'setInterval') =>
  (work: Callback, ms = 0, ...args: unknown[]) => {
    const outside = inside.getStore()
    if (!outside) return genuine[kind](work, ms, ...args)
    return outside.startTimer(() => work(...args), ms, kind === 'setInterval')
  }

const stopping = (timer: unknown) => {
  if (inside.getStore()?.stopTimer(timer)) return
  genuine.clearTimeout(timer as NodeJS.Timeout)
}

function delay(ms: number, value: unknown, options: { signal?: AbortSignal } = {}): Promise<unknown> {
  const outside = inside.getStore()
  if (!outside) return genuine.delay(ms, value, options)
  return new Promise((resolve, reject) => {
    const timer = outside.startTimer(() => resolve(value), ms, false)
    options.signal?.addEventListener('abort', () => {
      outside.stopTimer(timer)
      reject(options.signal?.reason as Error)
    })
  })
}

let installed = false

/** Puts the outside of the processes before the genuine one, once. */
export function installOutside(): void {
  if (installed) return
  installed = true
  Object.assign(globalThis, {
    setTimeout: starting('setTimeout'),
    setInterval: starting('setInterval'),
    clearTimeout: stopping,
    clearInterval: stopping,
  })
  performance.now = () => inside.getStore()?.monotonic() ?? genuine.now()
  Date.now = () => inside.getStore()?.wall() ?? genuine.dateNow()
  Math.random = () => inside.getStore()?.random() ?? genuine.random()
  Object.assign(timersPromises, { setTimeout: delay })
  syncBuiltinESMExports()
  // `new` takes what a constructor returns, if that is an object.
  Object.assign(pg, {
    Pool: function (options: pg.PoolConfig) {
      return inside.getStore()?.createPool(options) ?? new genuine.Pool(options)
    },
    Client: function (options: pg.ClientConfig) {
      return inside.getStore()?.createClient(options) ?? new genuine.Client(options)
    },
  })
}
