import { mostOfLimit, type LimitsChange } from '../contract/limits.ts'
import { changeLimits } from '../store/api-keys.ts'
import { exitCodes, Failure, type Call } from './command.ts'
import { onDatabase } from './keys.ts'

// `threadmill keys limit` and `threadmill projects limit`.

export function limitKey(call: Call): Promise<number> {
  return limit(call, 'key')
}

export function limitProject(call: Call): Promise<number> {
  return limit(call, 'project')
}

async function limit(call: Call, of: 'key' | 'project'): Promise<number> {
  const [id = ''] = call.args
  const change: LimitsChange = {}
  for (const [option, name] of [
    ['requests-per-minute', 'requests_per_minute'],
    ['concurrent-runs', 'concurrent_runs'],
    ['tokens-per-day', 'tokens_per_day'],
    ['body-bytes', 'body_bytes'],
    ['thread-messages', 'thread_messages'],
  ] as const) {
    const text = call.options[option]
    if (typeof text === 'string') change[name] = countOf(option, text)
  }
  const limits = await onDatabase(call, (pool) => changeLimits(pool, of, id, change))
  if (limits === null) {
    const text = `there is no ${of} "${id.slice(0, 100)}". \`threadmill ${of}s list\` shows those that there are.`
    throw new Failure(exitCodes.noInput, text)
  }
  const shown = Object.entries(limits).map(([name, value]) => `${name.replaceAll('_', '-')} ${value}\n`)
  call.output.out(shown.join('') || 'no limits\n')
  return exitCodes.done
}

function countOf(option: string, text: string): number | null {
  if (text === 'none') return null
  if (/^[1-9]\d*$/.test(text) && Number(text) <= mostOfLimit) return Number(text)
  throw new Failure(
    exitCodes.usage,
    `--${option} must be a whole number from 1, or none, and it is "${text.slice(0, 100)}".`,
  )
}
