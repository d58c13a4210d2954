import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { curlExample } from './docs-example.ts'
import { boundsHtml, fieldsHtml, schemaAnchor, typeHtml } from './docs-schema.ts'
import { docsStyle } from './docs-style.ts'
import { escaped, inlineHtml, markdown, slug } from './markdown.ts'
import type { Document } from './openapi.ts'
import type { OperationObject, Parameter, Ref } from './openapi-operation.ts'
import { introduction } from './openapi-text.ts'

// /docs: the OpenAPI document as one page that needs nothing but itself (docs/decisions/0011).

/** What the page may load: its own style, and nothing else. */
export const docsPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(docsStyle).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const errors = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')

interface Placed {
  path: string
  method: string
  operation: OperationObject
}

/** The page; `originMark` stands in it for the address of the server. */
export function docsPage(document: Document): string {
  const placed = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): Placed => ({ path, method, operation })),
  )
  const groups = document.tags.map(({ name, description }) => ({
    name,
    description: description ?? '',
    members: placed.filter(({ operation }) => operation.tags[0] === name),
  }))
  const { title, version } = document.info
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)} ${escaped(version)}: the API</title>
<style>${docsStyle}</style>
</head>
<body>
${navHtml(groups, Object.keys(document.components.schemas))}
<main>
<h1 id="top">${escaped(title)} ${escaped(version)}</h1>
<p>The same for programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI ${document.openapi}).</p>
${markdown(introduction)}
${groups.map((group) => groupHtml(document, group)).join('\n')}
<h2 id="schemas">Schemas</h2>
${schemasHtml(document)}
${markdown(errors, 1).replace('<h2 id="errors">', '<h2 id="error-keys">')}
</main>
</body>
</html>
`
}

interface Group {
  name: string
  description: string
  members: Placed[]
}

const groupAnchor = (name: string) => `group-${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`

function navHtml(groups: Group[], schemas: string[]): string {
  const lists = groups.map(({ name, members }) => {
    const links = members.map(
      ({ method, path, operation }) =>
        `<li><a href="#${operation.operationId}"><span class="m ${method}">${method.toUpperCase()}</span> ${escaped(path)}</a></li>`,
    )
    return `<details><summary>${escaped(name)}</summary><ul>${links.join('')}</ul></details>`
  })
  const named = schemas
    .toSorted()
    .map((name) => `<li><a href="#${schemaAnchor(name)}">${escaped(name)}</a></li>`)
  const topics = [...introduction.matchAll(/^## (.+)$/gm)].map(
    ([, title = '']) => `<li><a href="#${slug(title)}">${escaped(title)}</a></li>`,
  )
  return `<nav aria-label="Contents"><a href="#top"><b>Threadmill</b></a>
<details open><summary>In general</summary><ul>${topics.join('')}</ul></details>
${lists.join('\n')}
<details><summary>Schemas</summary><ul>${named.join('')}</ul></details>
<a href="#error-keys"><b>Errors</b></a></nav>`
}

function groupHtml(document: Document, { name, description, members }: Group): string {
  const sections = members.map((one) => operationHtml(document, one))
  return `<h2 id="${groupAnchor(name)}">${escaped(name)}</h2>\n<p>${inlineHtml(description)}</p>\n${sections.join('\n')}`
}

function operationHtml(document: Document, { path, method, operation }: Placed): string {
  const { operationId: id, summary, description = '', parameters = [] } = operation
  const rows = parameters.map((one) => parameterHtml(document, one))
  return `<section id="${id}">
<h3><span class="m ${method}">${method.toUpperCase()}</span> <code>${escaped(path)}</code> <a class="here" href="#${id}" aria-label="Link to ${id}">#</a></h3>
<p>${inlineHtml(summary)} <i>${id}</i></p>
${description ? markdown(description) : ''}
${rows.length > 0 ? `<h4>Parameters</h4><table class="fields"><tbody>${rows.join('')}</tbody></table>` : ''}
${bodyHtml(document, operation)}
<h4>Answers</h4>
${answersHtml(operation)}
<h4>Example</h4>
<pre>${escaped(curlExample(document, path, method, operation))}</pre>
</section>`
}

function parameterHtml({ components }: Document, given: Parameter | Ref): string {
  const parameter = '$ref' in given ? components.parameters[given.$ref.split('/').at(-1) ?? ''] : given
  if (!parameter) return ''
  const { name, required, schema, description } = parameter
  const notes = [description ? inlineHtml(`${description}.`.replace(/\.\.$/, '.')) : '', boundsHtml(schema)]
  return (
    `<tr><td><b>${escaped(name)}</b> <i>${parameter.in}${required ? '' : ', optional'}</i></td>` +
    `<td>${typeHtml(schema)}</td><td>${notes.filter(Boolean).join(' ')}</td></tr>`
  )
}

function bodyHtml(document: Document, { requestBody }: OperationObject): string {
  if (!requestBody) return ''
  const [[type, { schema }] = ['', { schema: {} }]] = Object.entries(requestBody.content)
  const named =
    schema.$ref === undefined ? schema : document.components.schemas[schema.$ref.split('/').at(-1) ?? '']
  const link = schema.$ref === undefined ? '' : `: ${typeHtml(schema)}`
  const said = named?.description ? `<p>${inlineHtml(named.description)}</p>` : ''
  return `<h4>Body <i>${escaped(type)}</i>${link}</h4>${said}${fieldsHtml(named ?? {})}`
}

function answersHtml({ responses }: OperationObject): string {
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) => {
    const types = Object.entries(content).map(([type, { schema }]) => {
      const fields = schema.$ref === undefined ? fieldsHtml(schema) : ''
      return `${typeHtml(schema)}${type === 'application/json' ? '' : ` <i>${escaped(type)}</i>`}${fields}`
    })
    // The keys of errors lead to what is said of them.
    const text = inlineHtml(description).replaceAll(/<code>(\w+)<\/code>/g, (code, key: string) =>
      status >= '400' ? `<a href="#key-${key}">${code}</a>` : code,
    )
    return `<tr><td>${status}</td><td>${types.join('<br>')}</td><td>${text}</td></tr>`
  })
  return `<table class="answers"><tbody>${rows.join('')}</tbody></table>`
}

function schemasHtml({ components }: Document): string {
  const entries = Object.entries(components.schemas).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return entries
    .map(([name, schema]) => {
      const fields = fieldsHtml(schema)
      const said = schema.description ? `<p>${inlineHtml(schema.description)}</p>` : ''
      const type =
        fields && !schema.anyOf
          ? ''
          : `<p>${typeHtml({ ...schema, $ref: undefined })}. ${boundsHtml(schema)}</p>`
      return `<h3 id="${schemaAnchor(name)}">${escaped(name)}</h3>${said}${type}${fields}`
    })
    .join('\n')
}
