import { readFileSync } from 'node:fs'

// The rows of the contract: what checks must prove. Those of tables and lists are read from the contract itself, so
// that none can be forgotten; those of its prose are named here.

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

/** What stands in the contract's prose and in no table. */
const proseRows = [
  '§1 body limit',
  '§2 time',
  '§3 order within one second',
  '§4 tool_resources',
  '§4 hosted tools',
  '§4 message object',
  '§5 backend faults',
  '§5 text before calls',
  '§6 deltas',
  '§7 framing',
  '§7 invariants',
  '§7 disconnect',
  '§7 errors before the first byte',
  '§8 limits',
  '§8 updates',
  '§9 envelope',
  '§9 conflicts are never 409',
  '§9 race of two creates',
  '§10 locked',
  '§10 open',
  '§10 lock ends with the run',
]

/** Groups of the memgpt dialect beside the nine operations. */
const memgptRows = [
  'memgpt lists',
  'memgpt errors',
  'memgpt run object',
  'memgpt both dialects',
  'memgpt detection',
  'memgpt AssistantsApi',
  'memgpt ThreadsApi',
  'memgpt MessagesApi',
]

const azureRows = ['Azure AzureOpenAI', 'Azure mounts', 'Azure first version']

/** The helpers of the official SDK. */
const sdkRows = [
  'runs.createAndPoll',
  'threads.createAndRunPoll',
  'runs.poll',
  'runs.submitToolOutputsAndPoll',
  'runs.stream',
  'runs.createAndStream',
  'threads.createAndRunStream',
  'runs.submitToolOutputsStream',
  'create with stream: true',
  'AssistantStream.fromReadableStream',
  'messages.list auto-paging',
  'steps.list with include',
  'files.create',
  'files.waitForProcessing',
  'files.content',
  'errors',
].map((name) => `SDK ${name}`)

const vectorStores = 'vector stores: not served yet'
const keys = 'keys and limits: not served yet'

/** Rows that no check proves, and why. A row that begins with one of these is meant too. */
const leftOut: [string, string][] = [
  ['§2 vector store', vectorStores],
  ['§3 Vector store', vectorStores],
  ['§4 Vector stores', vectorStores],
  ['§4 Threads (GET /threads)', 'not part of the API; a server may offer it'],
  ['§7 event error', 'a fault of the server itself cannot be caused from outside: test/stream.test.ts'],
  ['§7 vi-stream-error', 'a fault of the server itself cannot be caused from outside: test/stream.test.ts'],
  ['§9 beta header missing', 'a strict mode that a server may offer'],
  ['§9 no / wrong key', keys],
  ['§9 rate limited', keys],
  ['§9 server fault', 'cannot be caused from outside: test/server-fault.test.ts'],
]

/** Why no check proves this row; undefined if one must. */
export function reasonLeftOut(row: string): string | undefined {
  return leftOut.find(([start]) => row.startsWith(start))?.[1]
}

/** Every row that the document must hold, in the contract's order. */
export function allRows(): string[] {
  const wire = read('docs/contract/wire.md')
  const seed = [...read('test/fixtures/seed-runs-api.md').matchAll(/^\[\*\*(\w+(?:Get|Post))\*\*\]/gm)]
  const numbered = [...contractRows(wire), ...proseRows].toSorted(bySection)
  return [...numbered, ...seed.map(([, name]) => `seed ${name}`), ...memgptRows, ...azureRows, ...sdkRows]
}

const sectionOf = (row: string) => Number(/^§(\d+)/.exec(row)?.[1])
const bySection = (a: string, b: string) => sectionOf(a) - sectionOf(b)

/** Rows of the tables of §1 to §9, file operations, statuses and event names of wire.md. */
export function contractRows(markdown: string): string[] {
  const rows: string[] = []
  let [section, part] = ['', '']
  const lines = markdown.split('\n')
  for (const [at, line] of lines.entries()) {
    const heading = /^## (\d+)\./.exec(line)
    if (heading) [section, part] = [heading[1] ?? '', '']
    part = /^### (.*)/.exec(line)?.[1] ?? part
    const prefix = `§${section}${part && ` ${part}`}`
    const isHead = /^\|[-|]+\|$/.test(lines[at + 1] ?? '')
    const cell = /^\| (.*?) \|/.exec(line.replaceAll('\\|', '/'))?.[1]
    if (cell && !isHead) rows.push(`${prefix} ${plain(cell)}`)
    if (part === 'Files') rows.push(...fileRows(line).map((name) => `${prefix} ${name}`))
    const events = /^Events: (.*?)\./.exec(line.replaceAll(/\.(?=[a-z{])/g, '…'))?.[1]
    if (events) rows.push(...eventNames(events.replaceAll('…', '.')).map((name) => `§7 event ${name}`))
    const statuses = /^Active [^:]*: (.*?)\. Terminal: (.*?)\./.exec(line)
    if (statuses)
      rows.push(...`${statuses[1]}, ${statuses[2]}`.split(', ').map((name) => `§5 status ${name}`))
  }
  return rows.filter((row) => sectionOf(row) < 10)
}

const plain = (cell: string) => cell.replaceAll(/[`*]/g, '')

function fileRows(line: string): string[] {
  return [...line.matchAll(/(?:^|· )((?:GET|POST|DELETE)(?: \/\S+)?) /g)].map(([, name]) => name ?? '')
}

/** `thread.run.{created,queued}` names two events. */
function eventNames(list: string): string[] {
  return list.split(/; ?/).flatMap((name) => {
    const [, before = '', inside] = /^(.*)\{(.*)\}$/.exec(name.trim()) ?? []
    return inside ? inside.split(',').map((one) => before + one) : [name.trim()]
  })
}
