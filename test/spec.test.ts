import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { RunEventType } from '../src/domain/run.ts'
import { answerOf, eventTypes, statuses, targetsOf, type Expected } from './support/run-table-cells.ts'

// SPEC.md cannot rot: its table and its drawing are compared with what the code answers, and the tests it names
// must be there.

const root = new URL('../', import.meta.url)
const spec = readFileSync(new URL('SPEC.md', root), 'utf8')

/** The text below a heading, up to the next of its level or above. */
function section(heading: string): string {
  const [, after] = spec.split(`\n## ${heading}\n`)
  assert.ok(after !== undefined, `SPEC.md has no section "${heading}"`)
  return after.split(/\n## /)[0] ?? ''
}

/** The rows of the first table in a text, without its rule. */
function tableOf(text: string): string[][] {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.startsWith('|'))
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'))
  return lines
    .slice(start, length === -1 ? undefined : start + length)
    .filter((line) => !/^\|[-| ]+\|$/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    )
}

function cellText(expected: Expected): string {
  if (typeof expected === 'string') return expected
  return Object.entries(expected)
    .map(([condition, answer]) => `${answer} (${condition})`)
    .join('; ')
}

/** The table as the code has it. */
function computedTable(): string[][] {
  return [
    ['event', ...statuses],
    ...eventTypes.map((type) => [type, ...statuses.map((status) => cellText(answerOf(status, type)))]),
  ]
}

/** The edges of the graph as Mermaid draws them, with the events that follow them. */
function computedEdges(): string[] {
  const edges = new Map<string, RunEventType[]>()
  for (const status of statuses) {
    for (const type of eventTypes) {
      for (const to of targetsOf(answerOf(status, type))) {
        const edge = `${status} --> ${to}`
        edges.set(edge, [...(edges.get(edge) ?? []), type])
      }
    }
  }
  return [...edges].map(([edge, types]) => `${edge}: ${types.join(', ')}`)
}

/** Test files named in a text, each with the title that follows it in double quotes, if any. */
function testsIn(text: string): { file: string; title: string | undefined }[] {
  return [...text.matchAll(/`((?:src|test|test-system)\/[\w./-]+\.test\.ts)`(?:\s*\|?\s*"([^"]+)")?/g)].map(
    ([, file, title]) => ({ file: file ?? '', title }),
  )
}

/** The titles of a test file; `...` stands for what a title is put together from. */
function titlesOf(file: string): string[] {
  const text = readFileSync(new URL(file, root), 'utf8')
  const pattern = /\b(?:test|it|property)\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g
  return [...text.matchAll(pattern)].map((match) => (match[2] ?? '').replaceAll(/\$\{[^}]*\}/g, '...'))
}

const invariants = Array.from({ length: 11 }, (_, i) => `I${i + 1}`)

/** The text of each invariant. */
function invariantTexts(): Map<string, string> {
  const parts = section('Invariants').split(/^### (I\d+)\b/m)
  return new Map(parts.flatMap((part, i) => (i % 2 === 1 ? [[part, parts[i + 1] ?? ''] as const] : [])))
}

test('SPEC.md has the transition table of the code, cell for cell', () => {
  assert.deepEqual(tableOf(section('Transitions')), computedTable())
})

test('SPEC.md draws the edges of the code, with their events, and no others', () => {
  const drawn = [...spec.matchAll(/^ *(\w+ --> \w+: [\w, ]+)$/gm)].map((match) => match[1] ?? '')
  assert.deepEqual(drawn.toSorted(), computedEdges().toSorted())
})

test('SPEC.md explains every status and every event', () => {
  const named = (heading: string) => tableOf(section(heading)).map(([name]) => name ?? '')
  assert.deepEqual(named('Statuses').slice(1).toSorted(), statuses.toSorted())
  assert.deepEqual(named('Events').slice(1).toSorted(), eventTypes.toSorted())
})

test('SPEC.md has every invariant, each with a test that proves it', () => {
  const texts = invariantTexts()
  assert.deepEqual([...texts.keys()], invariants)
  for (const [name, text] of texts) {
    const titled = testsIn(text).filter(({ title }) => title !== undefined)
    assert.ok(titled.length > 0, `${name} names no test with its title`)
  }
})

test('every test that SPEC.md names is there', () => {
  const named = testsIn(spec)
  assert.ok(named.length > 40)
  for (const { file, title } of named) {
    assert.ok(existsSync(new URL(file, root)), `${file} does not exist`)
    if (title !== undefined) assert.ok(titlesOf(file).includes(title), `${file} has no test "${title}"`)
  }
})

test('every test that docs/guarantees.md names is there, and each of its promises names one', () => {
  const text = readFileSync(new URL('docs/guarantees.md', root), 'utf8')
  const promises = text.split('\n').filter((line) => /^\| (?!promise |test )\S/.test(line))
  assert.ok(promises.length > 20)
  for (const promise of promises) {
    const [named] = testsIn(promise)
    assert.ok(named?.title, `no test proves: ${promise}`)
    assert.ok(titlesOf(named.file).includes(named.title), `${named.file} has no test "${named.title}"`)
  }
})

test('docs/security.md has a defence for each of its 22 threats, and each test that it names is there', () => {
  const text = readFileSync(new URL('docs/security.md', root), 'utf8')
  const threats = text.split('\n').filter((line) => /^\| S\d+ \|/.test(line))
  assert.deepEqual(
    threats.map((line) => /S\d+/.exec(line)?.[0]),
    Array.from({ length: 22 }, (_, i) => `S${i + 1}`),
  )
  for (const threat of threats) {
    const named = testsIn(threat)
    assert.ok(named[0]?.title, `no test shows: ${threat}`)
    for (const { file, title } of named)
      assert.ok(title !== undefined && titlesOf(file).includes(title), `${file} has no test "${title}"`)
  }
})

test('the checklist of SPEC.md says the same from test to invariant as from invariant to test', () => {
  const fromInvariants = [...invariantTexts()].flatMap(([name, text]) =>
    testsIn(text).map(({ file, title }) => `${file} "${title}" ${name}`),
  )
  const fromTests = section('From test to invariant')
    .split('\n')
    .flatMap((line) =>
      testsIn(line).flatMap(({ file, title }) =>
        (line.split('|').at(-2)?.match(/I\d+/g) ?? []).map((name) => `${file} "${title}" ${name}`),
      ),
    )
  assert.deepEqual(fromTests.toSorted(), fromInvariants.toSorted())
})
