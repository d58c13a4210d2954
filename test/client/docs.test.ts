import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pages } from '../../client/scripts/write-docs.ts'
import OpenAiAssistantsApi from '../../client/src/index.ts'
import { clientRoot } from './installed-client.ts'

// The pages cannot rot: they are what the code says. client-examples.test.ts runs their examples.

const docs = join(clientRoot, 'docs')
const readme = readFileSync(join(clientRoot, 'README.md'), 'utf8')
const made = pages()

test('the pages in client/docs are those that its script writes (npm run docs --workspace client)', () => {
  assert.deepEqual(readdirSync(docs).toSorted(), [...made.keys()].toSorted())
  for (const [name, text] of made) assert.equal(readFileSync(join(docs, name), 'utf8'), text, name)
})

test('every class has a page, and the README leads to it', () => {
  for (const name of Object.keys(OpenAiAssistantsApi)) {
    assert.ok(made.has(`${name}.md`), name)
    assert.ok(readme.includes(`(docs/${name}.md)`), name)
  }
})

test('every link leads to a page or a heading that is there', () => {
  const texts = new Map([...made, ['README.md', readme]])
  let count = 0
  for (const [page, text] of texts) {
    for (const [, target = '', anchor] of text.matchAll(/\]\((?:docs\/)?(\w+\.md)(?:#(\w+))?\)/g)) {
      count += 1
      const there = texts.get(target)
      assert.ok(there !== undefined, `${page} links to ${target}`)
      if (anchor) assert.ok(there.includes(`<a id="${anchor}"></a>`), `${page} links to ${target}#${anchor}`)
    }
  }
  assert.ok(count > 100, `${count} links`)
})

test('every field that a model knows is on its page, described', () => {
  for (const [name, Model] of Object.entries(OpenAiAssistantsApi)) {
    if (!('RequiredProperties' in Model)) continue
    for (const field of Object.keys(Model.prototype as object)) {
      const row = new RegExp(`^\\*\\*\\w+\\*\\* \\| \\*\\*${field}\\*\\* \\| [^|]+ \\| \\S[^|]*\\. \\|`, 'm')
      assert.match(made.get(`${name}.md`) ?? '', row, `${name}.${field}`)
    }
  }
})

test('every defect of the original that the README lists has the test that it names', () => {
  const rows = [...readme.matchAll(/^\|[^|\n]+\|[^|\n]+\| `([\w./-]+)` "([^"|]+)" \|$/gm)]
  assert.ok(rows.length >= 12, `${rows.length} rows`)
  for (const [, file = '', title = ''] of rows) {
    const text = readFileSync(join(clientRoot, '..', file), 'utf8')
    assert.ok(text.includes(`test('${title}'`), `${file}: ${title}`)
  }
})
