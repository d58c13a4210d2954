import type { LogRow } from './event-log.ts'
import type { ThreadWrite } from './thread-write.ts'

/**
 * About how many characters a value takes as JSON: its texts, its keys left out. Much cheaper than the JSON itself, and
 * right enough to keep batches small, since what is large is text.
 */
export function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 8
  let size = 8
  // Made for each write: a list of the values would cost more than to look at them.
  if (Array.isArray(value)) for (const part of value) size += sizeOf(part)
  else for (const key in value) size += sizeOf((value as Record<string, unknown>)[key])
  return size
}

/** About how many characters a write takes as JSON, what the run does with it included. */
export function sizeOfWrite(write: ThreadWrite): number {
  let size = 8
  for (const key in write)
    if (key !== 'log' && key !== 'turn') size += sizeOf(write[key as keyof ThreadWrite])
  if ('log' in write && write.log) size += sizeOfLog(write.log)
  return 'turn' in write && write.turn ? size + sizeOfWrite(write.turn) : size
}

/** What is long in a log are the texts, which are told in deltas and once more when they end; settings are not in it. */
function sizeOfLog({ events }: LogRow): number {
  let size = 0
  for (const { event, data } of events) size += event.endsWith('.delta') ? 2 * sizeOf(data) : 300
  return size
}
