import { readFileSync } from 'node:fs'

// The same place from src/observe and from dist/observe.
const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')

/** The version of this package, as its package.json names it. */
export const version = (JSON.parse(text) as { version: string }).version
