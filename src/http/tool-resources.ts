import { ApiError } from '../contract/errors.ts'
import type { NewToolResources } from '../contract/tools.ts'

// What tools are to work with, where a schema alone cannot judge it.

/** Throws ApiError for resources that contradict themselves; `path` is where the body has them. */
export function checkResources(
  resources: NewToolResources | null | undefined,
  path = 'tool_resources',
): void {
  const search = resources?.file_search
  if (search === undefined) return
  const at = `${path}.file_search`
  // The one conflict that the published schema means (overrides.json).
  if (search.vector_store_ids !== undefined && search.vector_stores !== undefined) {
    const text = "give either 'vector_store_ids' or 'vector_stores', not both."
    throw new ApiError('invalid_value', `Invalid '${at}': ${text}`, at)
  }
  for (const [i, { chunking_strategy: chunking }] of search.vector_stores?.entries() ?? []) {
    if (chunking?.type !== 'static') continue
    const { max_chunk_size_tokens: size, chunk_overlap_tokens: overlap } = chunking.static
    if (overlap <= size / 2) continue
    const param = `${at}.vector_stores[${i}].chunking_strategy.static.chunk_overlap_tokens`
    const text = `integer above maximum value. Expected a value <= ${Math.floor(size / 2)}, but got ${overlap} instead.`
    throw new ApiError('integer_too_large', `Invalid '${param}': ${text}`, param)
  }
}

/**
 * The resources of a thread that is made with its run. Those given for the run are the thread's too, tool by tool,
 * where the thread does not bring its own: no object but the thread could show them.
 */
export function threadResources(
  forRun: NewToolResources | null | undefined,
  ofThread: NewToolResources | null | undefined,
): NewToolResources | null {
  if (!forRun && !ofThread) return null
  return { ...forRun, ...ofThread }
}
