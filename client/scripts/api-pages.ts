import type { ApiClient } from '../src/api-client.ts'
import type { DataType } from '../src/convert.ts'
import { everything } from '../src/everything.ts'
import { bodyOf, commentOf, fail, methodsOf, propertiesOf, type Member, type Method } from './source-text.ts'

// The pages of the Api classes, in the form of the original's. What is sent and what comes back is seen by calling
// each method with a client that only looks.

/** What a method asks its client for. */
interface Operation {
  httpMethod: string
  path: string
  returns: string
  hasBody: boolean
  isList: boolean
}

const link = (name: string) => `[**${name}**](${name.replace(/\W/g, '')}.md)`

export function apiPage(className: string, source: string, listOptions: Member[]): string {
  const methods = methodsOf(bodyOf(source, className)).filter(({ name }) => name !== 'constructor')
  const operations = methods.map((method) => operationOf(className, method))
  const rows = methods.map((method, at) => {
    const operation = operations[at]
    const request = operation ? `**${operation.httpMethod}** ${operation.path}` : ''
    return `[**${method.name}**](${className}.md#${method.name}) | ${request} | ${sentence(method)}`
  })
  const { summary } = commentOf(source, className)
  const parts = methods.map((method, at) =>
    operations[at] ? operationPart(className, method, operations[at], listOptions) : helperPart(method),
  )
  return [
    `# OpenAiAssistantsApi.${className}`,
    `${summary} All URIs are relative to *http://memgpt.localhost*`,
    ['Method | HTTP request | Description', '------------- | ------------- | -------------', ...rows].join(
      '\n',
    ),
    `The callback may be left out: the method then returns an [ApiPromise](ApiPromise.md). Last may come an object of
[RequestOptions](RequestOptions.md).`,
    ...parts,
  ].join('\n\n')
}

const sentence = (member: Member) => member.comment.summary.replace(/\.$/, '')

function operationOf(className: string, { name, parameters }: Method): Operation | undefined {
  const seen: Operation[] = []
  const callApi = (...args: unknown[]) => {
    const [path, httpMethod, , query, , , body, , , , returns] = args
    seen.push({
      path: path as string,
      httpMethod: httpMethod as string,
      returns: nameOf(returns as DataType),
      hasBody: body !== null,
      isList: 'limit' in (query as object),
    })
    return { withResponse: () => new Promise(() => {}) }
  }
  const Api = Reflect.get(everything, className) as new (client: ApiClient) => object
  const api = new Api({ callApi } as unknown as ApiClient)
  const method = Reflect.get(api, name) as (...args: unknown[]) => unknown
  // A generator sends nothing before it is read, and waitForRun is no operation of its own.
  if (parameters.includes('callback')) method.apply(api, parameters.filter(isRequired))
  return seen[0]
}

const isRequired = (parameter: string) => !['callback', 'opts', 'options'].includes(parameter)

function nameOf(type: DataType): string {
  if (Array.isArray(type)) return `[${nameOf(type[0] as DataType)}]`
  return typeof type === 'string' ? type : ((type as { name?: string }).name ?? fail('a type without a name'))
}

function operationPart(className: string, method: Method, operation: Operation, options: Member[]): string {
  const { name, comment } = method
  const required = method.parameters.filter(isRequired)
  const shown = operation.isList ? [...required, 'opts'] : required
  const rows = [
    ...required.map((each) =>
      parameterRow(each, comment.params[each] ?? fail(`${name}: ${each} is not described`)),
    ),
    ...(operation.isList ? options.map(optionRow) : []),
  ]
  return [
    heading(method),
    `> ${operation.returns} ${name}(${shown.join(', ')})`,
    [sentence(method), comment.details].filter(Boolean).join('. '),
    '### Example',
    example(className, method, operation, options),
    '### Parameters',
    rows.length === 0
      ? 'This method needs no parameter.'
      : [
          'Name | Type | Description  | Notes',
          '------------- | ------------- | ------------- | -------------',
          ...rows,
        ].join('\n'),
    '### Return type',
    link(operation.returns),
    '### Authorization',
    'No authorization required',
    '### HTTP request headers',
    `- **Content-Type**: ${operation.hasBody ? 'application/json' : 'Not defined'}\n- **Accept**: application/json`,
  ].join('\n\n')
}

/** The heading by which other pages of the original link to a method. */
const heading = ({ name }: Method) => `<a id="${name}"></a>\n## ${name}`

const modelOf = (parameter: string) => parameter.charAt(0).toUpperCase() + parameter.slice(1)

function parameterRow(name: string, description: string): string {
  const type = name.endsWith('Request') ? link(modelOf(name)) : '**String**'
  return ` **${name}** | ${type} | ${description} | `
}

function optionRow({ name, comment }: Member): string {
  const text = `${comment.summary} ${comment.details}`.trim()
  return ` **${name}** | **${name === 'limit' ? 'Number' : 'String'}** | ${text} | [optional] `
}

function example(className: string, method: Method, { isList }: Operation, options: Member[]): string {
  const required = method.parameters.filter(isRequired)
  const names = [...required, ...(isList ? ['opts'] : []), '(error, data, response) => {']
  const values: Record<string, string> = {
    limit: '1000',
    order: `'asc'`,
    after: '"after_example"',
    before: '"before_example"',
  }
  return [
    '```javascript',
    `import OpenAiAssistantsApi from 'open_ai_assistants_api';`,
    '',
    `let apiInstance = new OpenAiAssistantsApi.${className}();`,
    ...required.map((name) =>
      name.endsWith('Request')
        ? `let ${name} = new OpenAiAssistantsApi.${modelOf(name)}();`
        : `let ${name} = "${name}_example";`,
    ),
    ...(isList
      ? ['let opts = {', options.map(({ name }) => `  '${name}': ${values[name]}`).join(',\n'), '};']
      : []),
    `apiInstance.${method.name}(${names.join(', ')}`,
    '  if (error) {',
    '    console.error(error);',
    '  } else {',
    `    console.log('API called successfully. Returned data: ' + data);`,
    '  }',
    '});',
    '```',
  ].join('\n')
}

/** A method that is not one request. */
function helperPart(method: Method): string {
  const { name, parameters, comment, type } = method
  const rows = parameters.map((each) => ` **${each}** | ${comment.params[each] ?? fail(`${name}: ${each}`)}`)
  return [
    heading(method),
    `> ${type.replace(/^\w+<(\w+).*/, '$1')} ${name}(${parameters.join(', ')})`,
    `${sentence(method)}. ${comment.details}`,
    '### Example',
    `\`\`\`javascript\n${comment.example}\n\`\`\``,
    '### Parameters',
    ['Name | Description', '------------- | -------------', ...rows].join('\n'),
    '### Return type',
    type.startsWith('Promise')
      ? 'A promise of [**OpenAIRun**](OpenAIRun.md)'
      : 'An async iterator of [**RunEvent**](RunEvent.md)',
  ].join('\n\n')
}

/** What of the list options is sent. */
export function listOptionsOf(source: string): Member[] {
  return propertiesOf(bodyOf(source, 'ListOptions'))
}
