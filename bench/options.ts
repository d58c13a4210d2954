import { parseArgs } from 'node:util'

// What the command line may say.

export const lineNames = [
  'throughput',
  'latency',
  'many',
  'growth',
  'streaming',
  'start',
  'bloat',
  'profile',
] as const
export type LineName = (typeof lineNames)[number]

export const usage = `npm run bench -- [options]

  --only LINES        some of ${lineNames.join(', ')}; default: all but profile
  --rounds N          interleaved rounds of throughput and latency; default: 5
  --seconds N         of load for each cell of a round; default: 4
  --quick             everything small: shows that it works, says nothing about speed
  --vs REF            another commit of this repository, measured in turn with this one
  --base-url URL      a server that runs already, for instance http://127.0.0.1:3000/v1; its model must be the mock's
                      address, http://127.0.0.1:MOCK_PORT/v1
  --pid N             that server's process, for CPU and memory
  --mock-port N       where the mock model listens; default: any, with --base-url 4010
  --database-url URL  a Postgres for the server instead of its embedded one; databases are made and dropped there
  --fill N            finished runs that growth fills the database with; default: 1000000
  --runs N            runs that bloat drives; default: 100000
  --json FILE         writes the results; default: bench-results.json in the system's folder for temporary files
`

export interface Options {
  lines: LineName[]
  rounds: number
  seconds: number
  quick: boolean
  vs: string | null
  baseUrl: string | null
  pid: number | null
  mockPort: number
  databaseUrl: string | null
  fill: number
  runs: number
  json: string | null
}

/** Reads the command line; null when only help is wanted. Throws an Error that names what cannot be used. */
export function readOptions(args: string[]): Options | null {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      vs: { type: 'string' },
      'base-url': { type: 'string' },
      pid: { type: 'string' },
      'mock-port': { type: 'string' },
      'database-url': { type: 'string' },
      fill: { type: 'string' },
      runs: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return null
  const { quick } = values
  const baseUrl = values['base-url']?.replace(/\/+$/, '') ?? null
  return {
    lines: linesOf(values.only),
    rounds: number('rounds', values.rounds, quick ? 1 : 5),
    seconds: number('seconds', values.seconds, quick ? 0.3 : 4),
    quick,
    vs: values.vs ?? null,
    baseUrl,
    pid: values.pid === undefined ? null : number('pid', values.pid, 0),
    mockPort: number('mock-port', values['mock-port'], baseUrl ? 4010 : 0),
    databaseUrl: values['database-url'] ?? null,
    fill: number('fill', values.fill, quick ? 1_000 : 1_000_000),
    runs: number('runs', values.runs, quick ? 200 : 100_000),
    json: values.json ?? null,
  }
}

function linesOf(text: string | undefined): LineName[] {
  if (text === undefined) return lineNames.filter((name) => name !== 'profile')
  return text.split(',').map((word) => {
    const found = lineNames.find((name) => name === word.trim())
    if (!found) throw new Error(`--only knows ${lineNames.join(', ')}, and not "${word}".`)
    return found
  })
}

function number(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (text.trim() !== '' && value >= 0) return value
  throw new Error(`--${name} must be a number, and it is "${text}".`)
}
