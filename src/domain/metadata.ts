import { ApiError } from '../contract/errors.ts'
import type { Metadata } from '../contract/schema.ts'

/** What a client sends to change metadata: null clears all; a key with null or "" is removed (wire.md §8). */
export type MetadataChange = Record<string, string | null> | null | undefined

const maxPairs = 16

/** Metadata after a change: unnamed keys stay. Throws ApiError if the result has more than 16 pairs. */
export function mergeMetadata(old: Metadata, change: MetadataChange): Metadata {
  if (change === undefined) return old
  if (change === null) return {}
  const merged = new Map(Object.entries(old))
  for (const [key, value] of Object.entries(change)) {
    if (value === null || value === '') merged.delete(key)
    else merged.set(key, value)
  }
  if (merged.size > maxPairs) {
    throw new ApiError(
      'object_too_large',
      `Invalid 'metadata': too many properties. Expected an object with at most ${maxPairs} properties, but got an object with ${merged.size} properties instead.`,
      'metadata',
    )
  }
  return Object.fromEntries(merged)
}
