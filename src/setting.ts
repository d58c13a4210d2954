// The kinds of settings that config.ts is made of. A setting is one environment variable.

/** A setting that cannot be used; the message names it. */
export class ConfigError extends Error {}

export interface Setting<T> {
  /** The environment variable. */
  name: string
  /** What it may be, for docs/config.md. */
  kind: string
  /** What holds without it, for docs/config.md. */
  otherwise: string
  /** What it does, in Markdown. */
  means: string
  /** The value of its text; null is one that is not set. Throws ConfigError if it cannot be used. */
  read: (text: string | null) => T
}

/** A setting as its place in the list of all describes it. */
interface Named {
  name: string
  means: string
}

export function whole(
  setting: Named & { otherwise: number; least: number; most: number; unit?: string },
): Setting<number> {
  const { name, means, otherwise, least, most, unit } = setting
  return {
    name,
    means,
    kind: `whole number${unit === undefined ? '' : ` of ${unit}`}, ${least} to ${most}`,
    otherwise: String(otherwise),
    read(text) {
      if (text === null) return otherwise
      const value = /^\d+$/.test(text) ? Number(text) : NaN
      if (value >= least && value <= most) return value
      throw new ConfigError(`${name} must be a whole number from ${least} to ${most}, and it is "${text}".`)
    },
  }
}

export function oneOf<T extends string>(
  setting: Named & { values: readonly T[]; otherwise: NoInfer<T> },
): Setting<T> {
  const { name, means, values, otherwise } = setting
  return {
    name,
    means,
    kind: values.map((value) => `\`${value}\``).join(', '),
    otherwise,
    read(text) {
      const value = values.find((one) => one === (text ?? otherwise).toLowerCase())
      if (value) return value
      throw new ConfigError(`${name} must be one of ${values.join(', ')}, and it is "${text}".`)
    },
  }
}

/** 1 or 0. */
export function flag({ name, means }: Named): Setting<boolean> {
  return {
    name,
    means,
    kind: '`0` or `1`',
    otherwise: '0',
    read(text) {
      if (text === null || text === '0' || text === '1') return text === '1'
      throw new ConfigError(`${name} must be 0 or 1, and it is "${text}".`)
    },
  }
}

/** A setting of any other form. */
export function text<T>(
  setting: Named & { kind: string; otherwise: string; read: (text: string | null) => T },
): Setting<T> {
  return setting
}

/** Texts that are separated by commas; `check` answers whether one will do, and `must` says what it must be. */
export function list(
  setting: Named & {
    kind: string
    must: string
    check: (one: string) => boolean
    change?: (one: string) => string
  },
): Setting<string[]> {
  const { name, means, kind, must, check, change = (one) => one } = setting
  return {
    name,
    means,
    kind: `${kind}, comma-separated`,
    otherwise: 'none',
    read(text) {
      const listed = (text ?? '').split(',').flatMap((one) => change(one.trim()) || [])
      const wrong = listed.find((one) => !check(one))
      if (wrong === undefined) return listed
      throw new ConfigError(`${name} must list ${must}, and has "${wrong}".`)
    },
  }
}

/** Pairs that `parse` reads; what it throws is told to the user. */
export function pairs<T>(
  setting: Named & { kind: string; otherwise: string; parse: (text: string) => T },
): Setting<T> {
  const { name, means, kind, otherwise, parse } = setting
  const read = (given: string | null) => {
    try {
      return parse(given ?? '')
    } catch (error) {
      throw new ConfigError(error instanceof Error ? error.message : String(error))
    }
  }
  return { name, means, kind: `${kind}, comma-separated`, otherwise, read }
}
