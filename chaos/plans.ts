import type { Fault } from './faults.ts'

// How often which fault comes.

interface Plan {
  every: number
  pauseMs: number
  weights: Partial<Record<Fault, number>>
}

/** All kinds of faults. */
export const everything: Plan = {
  every: 1_500,
  pauseMs: 6_000,
  weights: {
    'kill at random': 6,
    'kill at a stop point': 10,
    pause: 2,
    'pause of 30 s': 1,
    'cut connections': 2,
    'lose answers of commits': 4,
    'end all backends': 1,
    'half-open connections': 1,
    'restart of Postgres': 1,
    'kill of Postgres': 1,
  },
}

/** As many kills as the machine can take. */
export const killsOnly: Plan = {
  every: 600,
  pauseMs: 6_000,
  weights: { 'kill at random': 1, 'kill at a stop point': 1 },
}
