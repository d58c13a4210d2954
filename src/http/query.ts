import { ApiError } from '../contract/errors.ts'
import { idPrefix, looksLikeId, type IdKind } from '../contract/ids.ts'
import type { PageQuery } from '../contract/paging.ts'

// Path and query parameters (wire.md §3, §9 "malformed id").

const defaultLimit = 20
const maxLimit = 100

/** Answers the id, or throws if it cannot be one of this kind. */
export function pathId(kind: IdKind, param: string, value: string | undefined): string {
  if (value !== undefined && looksLikeId(kind, value)) return value
  const shown = (value ?? '').slice(0, 200)
  throw new ApiError(
    'malformed_id',
    `Invalid '${param}': '${shown}'. Expected an ID that begins with '${idPrefix(kind)}'.`,
    param,
  )
}

export type Query = Record<string, string | string[] | undefined>

/** The list parameters of a query string. */
export function pageQuery(query: Query): PageQuery {
  return {
    limit: limitOf(single(query, 'limit')),
    order: orderOf(single(query, 'order')),
    after: single(query, 'after') || null,
    before: single(query, 'before') || null,
  }
}

/** A parameter that may be given once. */
export function single(query: Query, name: string): string | undefined {
  const given = query[name]
  const value = Array.isArray(given) ? given.at(-1) : given
  // Postgres takes no NUL, not even to compare with.
  if (!value?.includes('\0')) return value
  throw new ApiError('invalid_value', `Invalid '${name}': the text contains the NUL character.`, name)
}

function limitOf(text: string | undefined): number {
  if (text === undefined || text === '') return defaultLimit
  if (!/^-?\d+$/.test(text)) {
    throw new ApiError(
      'invalid_type',
      "Invalid type for 'limit': expected an integer, but got a string instead.",
      'limit',
    )
  }
  const limit = Number(text)
  if (limit > maxLimit) {
    const message = `Invalid 'limit': integer above maximum value. Expected a value <= ${maxLimit}, but got ${text.slice(0, 30)} instead.`
    throw new ApiError('integer_too_large', message, 'limit')
  }
  if (limit < 1) {
    const message = `Invalid 'limit': integer below minimum value. Expected a value >= 1, but got ${text.slice(0, 30)} instead.`
    throw new ApiError('integer_too_small', message, 'limit')
  }
  return limit
}

function orderOf(text: string | undefined): 'asc' | 'desc' {
  if (text === undefined || text === '') return 'desc'
  if (text === 'asc' || text === 'desc') return text
  const message = `Invalid value: '${text.slice(0, 200)}'. Supported values are: 'asc', 'desc'.`
  throw new ApiError('invalid_value', message, 'order')
}
