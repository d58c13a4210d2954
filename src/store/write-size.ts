/**
 * About how many characters a value takes as JSON: its texts, its keys left out. Much cheaper than the JSON itself, and
 * right enough to keep batches small, since what is large is text.
 */
export function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 8
  let size = 8
  for (const part of Array.isArray(value) ? value : Object.values(value)) size += sizeOf(part)
  return size
}
