// For deploy/threadmill-admin: prints the settings of a file that systemd reads as EnvironmentFile=, for a shell to export them.
import { readFileSync } from 'node:fs'

/**
 * The variables of such a file, as systemd 254 and later read it (systemd.exec(5)): quotes and backslashes as a shell has them, but
 * nothing is expanded; the last of one name holds. Lines that set nothing are passed over; what is set and has no name is in `ignored`.
 */
function variablesOf(text) {
  const variables = new Map()
  const ignored = []
  let at = 0
  const take = (pattern) => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match) at = pattern.lastIndex
    return match
  }
  while (at < text.length) {
    // A carriage return ends a line, too.
    if (take(/[ \t\r\n]+|[#;][^\r\n]*/y)) continue
    const name = take(/[^][^=\r\n]*/y)[0].replace(/[ \t]+$/, '')
    if (take(/=/y) === null) continue
    const value = valueOf(take)
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) variables.set(name, value)
    else ignored.push(name)
  }
  return { variables, ignored }
}

/** What is in quotes stands one behind the other; what is not goes from there to the end of the line. */
function valueOf(take) {
  let value = ''
  for (;;) {
    take(/[ \t]+/y)
    const single = take(/'([^']*)'?/y)
    const double = single ? null : take(/"((?:[^"\\]|\\[^]?)*)"?/y)
    if (single) value += single[1]
    else if (double) value += double[1].replace(/\\(["\\`$]|\n|$)/g, (_, one) => (one === '\n' ? '' : one))
    else return value + plain(take(/(?:[^\\\r\n]|\\[^]?)*/y)[0])
  }
}

/** Text without quotes: a backslash goes, with the end of its line; blanks at the end go, unless they had one. */
function plain(text) {
  return text.replace(/\\([^]?)|[ \t]+$/g, (_, one = '') => (/[\r\n]/.test(one) ? '' : one))
}

/** The text of a file; empty if there is none, which the unit allows. Throws for what systemd refuses as a whole. */
function textOf(path) {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(path))
    if (text.includes('\0')) throw new Error('it has a NUL character')
    return text
  } catch (error) {
    if (error.code === 'ENOENT') return ''
    console.error(`${path} cannot be read: ${error.message}`)
    process.exit(1)
  }
}

const [path] = process.argv.slice(2)
const { variables, ignored } = variablesOf(textOf(path))
for (const name of ignored)
  console.error(`${path}: ${JSON.stringify(name)} is no name of a variable: ignored.`)
for (const [name, value] of variables) console.log(`export ${name}='${value.replaceAll("'", `'\\''`)}'`)
