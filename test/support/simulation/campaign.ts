import type { FastifyInstance } from 'fastify'
import type { RealDatabase } from './real-database.ts'
import { Simulation } from './simulation.ts'

/** What one seed came to. */
export interface Result {
  seed: number
  steps: number
  runs: number
  faults: number
  /** Runs that began beside their commit. */
  early: number
  trace: string[]
  /** Null if everything was as promised. */
  failure: unknown
}

/** Runs the simulation of one seed. */
export async function simulate(
  database: RealDatabase,
  web: FastifyInstance[],
  seed: number,
): Promise<Result> {
  const simulation = new Simulation(seed, database, web)
  const failure = await simulation.run().then(
    () => null,
    (error: unknown) => error,
  )
  return {
    seed,
    steps: simulation.step,
    runs: simulation.watch.lives.size,
    faults: simulation.weather.faults - simulation.faultsLeft,
    early: simulation.processes.reduce((sum, { early }) => sum + early, 0),
    trace: simulation.trace,
    failure,
  }
}

/** For people: what went wrong, the steps before it, and the one command that does it again. */
export function reportOf({ seed, trace, failure }: Result, steps = 60): string {
  const cause = failure instanceof Error ? failure.message : String(failure)
  const stack = failure instanceof Error && failure.name !== 'Violation' ? `\n${failure.stack}` : ''
  return [
    `seed ${seed}: ${cause}${stack}`,
    ...trace.slice(-steps).map((line) => `  ${line}`),
    'All steps of it again:',
    `  npm run simulate -- --from ${seed} --seeds 1 --trace`,
    '',
  ].join('\n')
}
