// As much of Markdown as our own texts use: headings, paragraphs, lists, tables, fenced code, code, bold and links.

/** Text as HTML shows it. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/** HTML of a Markdown text; its headings are `deeper` levels below those that it has. */
export function markdown(text: string, deeper = 0): string {
  return joinFences(text.trim().split(/\n{2,}/))
    .map((block) => blockHtml(block, deeper))
    .join('\n')
}

/** Code between fences may have empty lines. */
function joinFences(blocks: string[]): string[] {
  const joined: string[] = []
  let open = false
  for (const block of blocks) {
    const fences = block.match(/^```/gm)?.length ?? 0
    if (open) joined.push(`${joined.pop()}\n\n${block}`)
    else joined.push(block)
    if (fences % 2 === 1) open = !open
  }
  return joined
}

function blockHtml(block: string, deeper: number): string {
  const heading = /^(#+) (.*)$/.exec(block)
  if (heading) {
    const [, marks = '', title = ''] = heading
    const tag = `h${Math.min(marks.length + deeper, 6)}`
    return `<${tag} id="${slug(title)}">${inlineHtml(title)}</${tag}>`
  }
  if (block.startsWith('```'))
    return `<pre>${escaped(block.replace(/^```\w*\n/, '').replace(/\n```$/, ''))}</pre>`
  if (block.startsWith('|')) return tableHtml(block)
  if (block.startsWith('- ')) return `<ul>${itemsHtml(block, /^- /m)}</ul>`
  if (block.startsWith('1. ')) return `<ol>${itemsHtml(block, /^\d+\. /m)}</ol>`
  return `<p>${inlineHtml(block)}</p>`
}

/** The anchor of a heading: its words, joined by hyphens. */
export function slug(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
}

function itemsHtml(block: string, mark: RegExp): string {
  return block
    .split(mark)
    .filter((item) => item !== '')
    .map((item) => `<li>${inlineHtml(item.trim())}</li>`)
    .join('')
}

/** A row whose first cell is a code can be linked to as `#key-...`. */
function tableHtml(block: string): string {
  const [head = '', , ...rows] = block.split('\n')
  const cells = (row: string) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  const names = cells(head)
  const body = rows.map((row) => {
    const [first = '', ...rest] = cells(row)
    const key = /^`(\w+)`$/.exec(first)?.[1]
    const data = [first, ...rest].map(
      (cell, i) => `<td data-name="${escaped(names[i] ?? '')}">${inlineHtml(cell)}</td>`,
    )
    return `<tr${key === undefined ? '' : ` id="key-${key}"`}>${data.join('')}</tr>`
  })
  const header = names.map((name) => `<th>${inlineHtml(name)}</th>`).join('')
  return `<table><thead><tr>${header}</tr></thead><tbody>${body.join('')}</tbody></table>`
}

/** Every second part between backticks is code. */
export function inlineHtml(text: string): string {
  const parts = text.split('`').map((part, i) =>
    i % 2 === 1
      ? `<code>${escaped(part)}</code>`
      : escaped(part)
          .replaceAll(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
          .replaceAll(/\[([^\]]+)\]\((#[\w-]+|https?:[^)\s]+)\)/g, '<a href="$2">$1</a>'),
  )
  return parts.join('')
}
