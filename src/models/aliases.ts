import { parsePairs } from './pairs.ts'

// Apps ask for the models that they were written for; MODEL_ALIASES says what is served in their place.

export type Aliases = ReadonlyMap<string, string>

/** The built-in scripted model, which stays within reach whatever is configured. */
export const demoModel = 'demo'

/** Reads `asked=served` pairs, comma-separated, `*` for any model. Throws an Error that names the bad pair. */
export function parseAliases(setting: string): Aliases {
  return new Map(parsePairs('MODEL_ALIASES', setting))
}

/**
 * The model that serves a request for `asked`. An exact pair wins over `*`, a model without either is asked for
 * under its own name, and `*` does not reach the demo model. Resolved once: a served name is not an alias again.
 */
export function resolveAlias(aliases: Aliases, asked: string): string {
  const any = asked === demoModel ? undefined : aliases.get('*')
  return aliases.get(asked) ?? any ?? asked
}
