import { readFileSync } from 'node:fs'

/** The version of this package, as its package.json names it. */
export function version(): string {
  // The same place from src/cli and from dist/cli.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
