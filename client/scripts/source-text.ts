// Reads what the pages say from the client's TypeScript: the comments, and the names and types that they stand before.
// It is no parser: it relies on how the formatter writes declarations, and throws where it finds nothing.

/** A comment: its first sentence, what follows it, and its parts that begin with @. */
export interface Comment {
  summary: string
  details: string
  params: Record<string, string>
  example: string
}

export interface Member {
  name: string
  /** As written in TypeScript; empty if it is left to the compiler. */
  type: string
  /** As written in TypeScript; empty if there is none. */
  value: string
  isOptional: boolean
  isStatic: boolean
  comment: Comment
}

export interface Method extends Member {
  /** Their names. */
  parameters: string[]
}

export function readComment(text: string): Comment {
  const lines = text
    .split('\n')
    .map((line) => line.replace(/^\s*(\/\*\*|\*\/|\*)? ?/, '').replace(/ ?\*\/$/, ''))
  const [body = '', ...tags] = lines.join('\n').split(/^@/m)
  const [summary = '', ...details] = body.trim().split(/(?<=\.)\s+/)
  const params: Record<string, string> = {}
  let example = ''
  for (const tag of tags) {
    const [, kind, rest = ''] = /^(\w+)\s+([\s\S]*)$/.exec(tag) ?? []
    const [, name = '', description = ''] = /^(\w+)\s+([\s\S]*)$/.exec(rest.trim()) ?? []
    if (kind === 'param') params[name] = oneLine(description)
    if (kind === 'example') example = rest.trim()
  }
  return { summary: oneLine(summary), details: oneLine(details.join(' ')), params, example }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

const comment = String.raw`\/\*\*(?:(?!\*\/)[\s\S])*\*\/`

/** The comment before an exported declaration. */
export function commentOf(source: string, declaration: string): Comment {
  const found = new RegExp(`(${comment})\\nexport (?:const|class|type|interface) ${declaration}\\b`).exec(
    source,
  )
  return found?.[1] ? readComment(found[1]) : fail(`no comment before ${declaration}`)
}

/** The body of a class or an interface, between its braces. */
export function bodyOf(source: string, declaration: string): string {
  const start = new RegExp(`^export (?:class|interface) ${declaration}\\b[^{]*\\{\\n`, 'm')
  const found = start.exec(source) ?? fail(`no ${declaration}`)
  const from = found.index + found[0].length
  return source.slice(from, source.indexOf('\n}', from) + 1)
}

/** The commented properties of a class or an interface. */
export function propertiesOf(body: string): Member[] {
  const modifiers = '(static )?(?:readonly |declare |override )*'
  const name = String.raw`(?:get (\w+)\(\)|(\w+)(\?)?)`
  const pattern = new RegExp(
    `^  (${comment})\\n  ${modifiers}${name}(?:: ((?:(?! = | \\{$).)+))?(?: = (.*)| \\{)?$`,
    'gm',
  )
  return [...body.matchAll(pattern)].map(
    ([, text = '', fixed, getter, field, optional, type = '', value = '']) => ({
      name: getter ?? field ?? '',
      type,
      value,
      isOptional: optional !== undefined,
      isStatic: fixed !== undefined,
      comment: readComment(text),
    }),
  )
}

/** The commented methods of a class, each by its first signature. */
export function methodsOf(body: string): Method[] {
  const name = String.raw`(static )?(?:async )?(\w+)(?:<[^(]*>)?`
  const parameters = String.raw`\(([^()]*(?:\([^()]*\)[^()]*)*)\)`
  const pattern = new RegExp(`^  (${comment})\\n  ${name}${parameters}(?:: (.+?))?(?: \\{)?$`, 'gm')
  return [...body.matchAll(pattern)].map(([, text = '', fixed, method = '', taken = '', type = '']) => ({
    name: method,
    type,
    value: '',
    isOptional: false,
    isStatic: fixed !== undefined,
    comment: readComment(text),
    parameters: [...taken.matchAll(/(?:^|,\s)\s*(\w+)\??(?=:| =)/g)].map(([, parameter = '']) => parameter),
  }))
}

export function fail(message: string): never {
  throw new Error(message)
}
