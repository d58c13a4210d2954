import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

// The SQL of the project as it stands in the code: each text with its constants in their places.

export interface SqlText {
  /** From the root of the repository. */
  path: string
  /** The constant or function that it stands in. */
  name: string
  text: string
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A string or template of a module: its text, and the names that are put between the pieces of it. */
interface Literal {
  pieces: string[]
  names: string[]
  /** The constant or function of the module that it stands in. */
  within: string
  /** The constant that it is the value of. */
  constant: string | null
}

interface Module {
  path: string
  literals: Literal[]
  /** Where an imported name comes from: a path, and the name that it has there. */
  imported: Map<string, [string, string]>
}

/** Reads literals: comments and regular expressions may have quotes, too, and are passed over. */
function literalsOf(code: string): Literal[] {
  const found: Literal[] = []
  const skipped =
    /\/\/[^\n]*|\/\*[^]*?\*\/|(?<=[(,=:[!&|?{};]\s*)\/(?![*/])(?:\[(?:\\.|[^\]\\\n])*\]|\\.|[^/\\\n[])+\/|['"`]/g
  for (let match = skipped.exec(code); match; match = skipped.exec(code)) {
    const [quote] = match
    if (quote.length > 1) continue
    const constant = /\bconst (\w+)(?:: \w+)? =\s*$/.exec(code.slice(0, match.index))?.[1] ?? null
    const literal: Literal = {
      pieces: [''],
      names: [],
      within: withinOf(code.slice(0, match.index)),
      constant,
    }
    skipped.lastIndex = readLiteral(code, match.index + 1, quote, literal)
    found.push(literal)
  }
  return found
}

/** Reads a literal from behind its quote on; answers where it has ended. */
function readLiteral(code: string, from: number, quote: string, { pieces, names }: Literal): number {
  for (let at = from; at < code.length; at++) {
    const char = code.charAt(at)
    if (char === quote) return at + 1
    if (char === '\\') pieces.push((pieces.pop() ?? '') + code.charAt(++at))
    else if (quote === '`' && char === '$' && code.charAt(at + 1) === '{') {
      const end = endOfExpression(code, at + 2)
      names.push(code.slice(at + 2, end).trim())
      pieces.push('')
      at = end
    } else pieces.push((pieces.pop() ?? '') + char)
  }
  return code.length
}

function endOfExpression(code: string, from: number): number {
  for (let at = from, depth = 0; at < code.length; at++) {
    if (code.charAt(at) === '{') depth++
    if (code.charAt(at) === '}' && depth-- === 0) return at
  }
  return code.length
}

function withinOf(before: string): string {
  const declared = [...before.matchAll(/^(?:export )?(?:async )?(?:const|function\*?|class) (\w+)/gm)]
  return declared.at(-1)?.[1] ?? ''
}

function moduleOf(path: string): Module {
  const code = readFileSync(join(root, path), 'utf8')
  const imported = new Map<string, [string, string]>()
  for (const [, names = '', from = ''] of code.matchAll(/^import \{([^}]*)\} from '(\.[^']*)'/gm))
    for (const name of names.split(',')) {
      const [there = '', here = there] = name
        .replace(/^\s*type /, '')
        .trim()
        .split(' as ')
      imported.set(here, [join(dirname(path), from), there])
    }
  return { path, literals: literalsOf(code), imported }
}

/** All texts below `folder` that are whole: those that are put into others come with these. */
export function sqlTexts(folder: string): SqlText[] {
  const modules = new Map(
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts'))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)))
      .map((path) => [path, moduleOf(path)]),
  )
  const parts = new Set<Literal>()
  const constantOf = (name: string, module: Module): [Literal, Module] | null => {
    const own = module.literals.find(({ constant }) => constant === name)
    if (own) return [own, module]
    const [from, there] = module.imported.get(name) ?? []
    const other = from === undefined ? undefined : modules.get(from)
    return other && there !== undefined ? constantOf(there, other) : null
  }
  const textOf = ({ pieces, names }: Literal, module: Module): string =>
    pieces
      .flatMap((piece, i) => {
        const name = names[i]
        const found = name === undefined ? null : constantOf(name, module)
        if (!found) return [piece]
        parts.add(found[0])
        return [piece, textOf(...found)]
      })
      .join('')
  const texts = [...modules.values()].flatMap((module) =>
    module.literals.map((literal) => ({ module, literal, text: textOf(literal, module) })),
  )
  return texts
    .filter(({ literal }) => !parts.has(literal))
    .map(({ module, literal, text }) => ({ path: module.path, name: literal.within, text }))
}

/** A part of a statement between two brackets, without what is in brackets inside it. */
export interface Scope {
  text: string
  /** What stands before its opening bracket. */
  before: string
  /** The text of the brackets inside it, in order. */
  inner: Scope[]
}

/** The statement as nested brackets; comments and literals are left out. */
export function scopeOf(sql: string): Scope {
  const plain = sql.replaceAll(/--[^\n]*/g, '').replaceAll(/'[^']*'/g, "''")
  const outermost: Scope = { text: '', before: '', inner: [] }
  const open = [outermost]
  for (const char of plain) {
    const scope = open.at(-1) ?? outermost
    if (char === '(') {
      const inner = { text: '', before: scope.text, inner: [] }
      scope.inner.push(inner)
      scope.text += '('
      open.push(inner)
    } else {
      if (char === ')' && open.length > 1) open.pop()
      const into = open.at(-1) ?? outermost
      into.text += char
    }
  }
  return outermost
}
