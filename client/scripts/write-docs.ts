import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { everything } from '../src/everything.ts'
import { apiPage, listOptionsOf } from './api-pages.ts'
import { bodyOf, commentOf, fail, methodsOf, propertiesOf, type Member } from './source-text.ts'

// `npm run docs --workspace client`: writes docs/ from the comments and the types of src/. A test compares.

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, 'src', path), 'utf8')

const classes = [
  'ApiClient',
  'ApiRequest',
  'ApiPromise',
  'ApiError',
  'NetworkError',
  'TimeoutError',
  'AbortError',
]
const apis = ['RunsApi', 'AssistantsApi', 'ThreadsApi', 'MessagesApi']
/** Objects that are no classes, by the module that describes them. */
const interfaces: Record<string, string> = {
  ApiResponse: 'api-response',
  Authentication: 'api-client',
  ListOptions: 'operation',
  RequestOptions: 'api-request',
  RunEvent: 'stream-events',
  StreamOptions: 'stream-events',
  WaitOptions: 'wait-for-run',
}

/** All pages by their name. */
export function pages(): Map<string, string> {
  const listOptions = listOptionsOf(read('operation.ts'))
  const models = readdirSync(join(root, 'src/models')).map((file) => modelPage(read(`models/${file}`)))
  const made: [string, string][] = [
    ...apis.map((name): [string, string] => [name, apiPage(name, read(`${kebab(name)}.ts`), listOptions)]),
    ...classes.map((name): [string, string] => [name, classPage(name, read(`${kebab(name)}.ts`))]),
    ...Object.entries(interfaces).map(([name, file]): [string, string] => [
      name,
      interfacePage(name, read(`${file}.ts`)),
    ]),
    ...models,
  ]
  return new Map(made.map(([name, text]) => [`${name}.md`, `${text.trimEnd()}\n`]))
}

const kebab = (name: string) => name.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()

/** A type in the words of the original's pages, with a link where it has a page. */
function typeText(type: string): string {
  const plain = type.replace(/ \| (null|undefined)\b/g, '')
  const [, item, brackets] = /^(\w+?)(?:Fields)?(\[\])?$/.exec(plain) ?? []
  if (item === undefined) return `\`${plain.replaceAll('|', '\\|')}\``
  const name = item.replace('FunctionModel', 'Function')
  const primitive: Record<string, string> = {
    string: 'String',
    number: 'Number',
    boolean: 'Boolean',
    unknown: 'any value',
    Metadata: 'Object',
  }
  const shown = primitive[name] ?? name
  const text = brackets ? `**[${shown}]**` : `**${shown}**`
  return hasPage(name) ? `[${text}](${name}.md)` : text
}

function hasPage(name: string): boolean {
  return name in interfaces || name in everything
}

const documented = (name: string) =>
  name === 'function' || name === 'arguments'
    ? `_${name}`
    : name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

function modelPage(source: string): [string, string] {
  const name = /define(?:Model|Union)<[\s\S]*?\n? *'(\w+)'/.exec(source)?.[1] ?? 'ValidationErrorLocInner'
  const constant = name === 'Function' ? 'FunctionModel' : name
  const { summary, details } = commentOf(source, constant)
  const title = `# OpenAiAssistantsApi.${name}\n\n${[summary, details].filter(Boolean).join(' ')}`
  if (!source.includes('defineModel')) return [name, `${title}\n\n${forms(source, name)}`]
  const fields = propertiesOf(bodyOf(source, `${constant}Fields`))
  const defaults = /\n {2}\{ (\w+): '([\w.]+)' \},\n\)/.exec(source)
  const rows = fields.map((field) => {
    const notes = field.isOptional ? '[optional] ' : ''
    const fixed = defaults?.[1] === field.name ? `[default to '${defaults[2]}']` : ''
    const { name: wire, type, comment } = field
    return (
      `**${documented(wire)}** | **${wire}** | ${typeText(type)} | ${comment.summary} ${comment.details}`.trim() +
      ` | ${notes}${fixed}`
    )
  })
  const required = fields.filter(({ isOptional }) => !isOptional).map((field) => documented(field.name))
  const table = [
    'Name | In JSON | Type | Description | Notes',
    '------------ | ------------ | ------------- | ------------- | -------------',
    ...rows,
  ]
  return [name, `${title}\n\n> new ${name}(${required.join(', ')})\n\n## Properties\n\n${table.join('\n')}`]
}

/** Of a class that stands for several. */
function forms(source: string, name: string): string {
  const union = new RegExp(`export type ${name} = (.*)`).exec(source)?.[1] ?? fail(`no forms of ${name}`)
  return `One of:\n\n${union
    .split(' | ')
    .map((form) => `- ${typeText(form)}`)
    .join('\n')}`
}

function interfacePage(name: string, source: string): string {
  const { summary, details } = commentOf(source, name)
  const base = new RegExp(`export interface ${name} extends (\\w+)`).exec(source)?.[1]
  const also = base ? `\n\nWhat ${typeText(base)} has, it has too.` : ''
  const rows = propertiesOf(bodyOf(source, name)).map((member) => row(member))
  return `# ${name}\n\n${[summary, details].filter(Boolean).join(' ')}${also}\n\n## Properties\n\n${[...head, ...rows].join('\n')}`
}

const head = ['Name | Type | Description', '------------ | ------------- | -------------']

function row({ name, type, value, isStatic, isOptional, comment }: Member, owner = ''): string {
  const shown = type || (/^[\d_]+$/.test(value) ? 'number' : /^(true|false)$/.test(value) ? 'boolean' : '')
  const text = [
    comment.summary,
    comment.details,
    value && !isStatic && !value.includes('(') && `Default: \`${value}\`.`,
    isOptional && 'Optional.',
  ]
  return `**${isStatic ? `${owner}.` : ''}${name}** | ${shown && typeText(shown)} | ${text.filter(Boolean).join(' ')}`
}

function classPage(name: string, source: string): string {
  const { summary, details, example } = commentOf(source, name)
  const body = bodyOf(source, name)
  const base = new RegExp(`export class ${name}(?:<T>)? extends (\\w+)`).exec(source)?.[1]
  const also = base && base !== 'Error' ? ` It is an ${typeText(base)} too.` : ''
  const properties = propertiesOf(body)
  const methods = methodsOf(body).filter(
    (method) => method.name !== 'constructor' && method.name !== 'follow',
  )
  return [
    `# OpenAiAssistantsApi.${name}`,
    [summary, details].filter(Boolean).join(' ') + also,
    ...(example ? ['## Example', `\`\`\`javascript\n${example}\n\`\`\``] : []),
    ...(properties.length > 0
      ? ['## Properties', [...head, ...properties.map((each) => row(each, name))].join('\n')]
      : []),
    ...(methods.length > 0 ? ['## Methods'] : []),
    ...methods.map(
      ({ name: method, parameters, type, isStatic, comment }) =>
        `### ${isStatic ? `${name}.` : ''}${method}(${parameters.join(', ')})\n\n${comment.summary} ${comment.details}`.trimEnd() +
        (type && type !== 'void' ? `\n\nReturns ${typeText(type)}.` : ''),
    ),
  ].join('\n\n')
}

if (import.meta.main) {
  mkdirSync(join(root, 'docs'), { recursive: true })
  for (const [name, text] of pages()) writeFileSync(join(root, 'docs', name), text)
}
