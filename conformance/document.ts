import type { Check } from './check.ts'
import { allRows, reasonLeftOut } from './rows.ts'

const [begin, end] = [
  '<!-- table of rows: npm run conformance -- --write-document -->',
  '<!-- end of table -->',
]

/** `text` with its table of rows made anew. Throws if it has no place for one. */
export function withTable(text: string, checks: Check[]): string {
  const [before, rest] = text.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new Error(`The document lacks the line ${begin}`)
  return `${before}${begin}\n\n${tableOf(checks)}\n\n${end}${after}`
}

/** Each row of the contract and the checks that prove it, or why there is none. */
function tableOf(checks: Check[]): string {
  const lines = allRows().map((row) => {
    const ids = checks.filter(({ rows }) => rows.includes(row)).map(({ id }) => `\`${id}\``)
    return `| ${row.replaceAll('|', '/')} | ${ids.join(' ') || `*${reasonLeftOut(row) ?? 'nothing'}*`} |`
  })
  return ['| row | checks |', '|---|---|', ...lines].join('\n')
}
