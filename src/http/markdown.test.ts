import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inlineHtml, markdown } from './markdown.ts'

test('what is HTML in a text is shown and not obeyed, also in code', () => {
  assert.equal(inlineHtml('<b> & "x" `<i>`'), '&lt;b&gt; &amp; &quot;x&quot; <code>&lt;i&gt;</code>')
  assert.equal(markdown('<script>x</script>'), '<p>&lt;script&gt;x&lt;/script&gt;</p>')
  assert.equal(inlineHtml('[a](javascript:x)'), '[a](javascript:x)')
})

test('headings go down by as much as they are told, and have anchors', () => {
  assert.equal(markdown('## Not there, yet', 1), '<h3 id="not-there-yet">Not there, yet</h3>')
})

test('lists keep lines that go on', () => {
  assert.equal(markdown('- one\n  more\n- two'), '<ul><li>one\n  more</li><li>two</li></ul>')
  assert.equal(markdown('1. one\n2. **two**'), '<ol><li>one</li><li><strong>two</strong></li></ol>')
})

test('code between fences keeps its empty lines and its marks', () => {
  assert.equal(
    markdown('a\n\n```json\n{\n\n- "x" }\n```\n\nb'),
    '<p>a</p>\n<pre>{\n\n- &quot;x&quot; }</pre>\n<p>b</p>',
  )
})

test('a row of a table whose first cell is a code has an anchor', () => {
  const cell = (name: string, html: string) => `<td data-name="${name}">${html}</td>`
  assert.equal(
    markdown('| key | when |\n|---|---|\n| `gone` | It is. |\n| all | Else. |'),
    `<table><thead><tr><th>key</th><th>when</th></tr></thead><tbody>` +
      `<tr id="key-gone">${cell('key', '<code>gone</code>')}${cell('when', 'It is.')}</tr>` +
      `<tr>${cell('key', 'all')}${cell('when', 'Else.')}</tr></tbody></table>`,
  )
})
