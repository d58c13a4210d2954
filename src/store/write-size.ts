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
