import type { Document } from './openapi.ts'
import type { OperationObject, Parameter } from './openapi-operation.ts'
import type { JsonSchema } from './openapi-schema.ts'

// Examples that can be pasted into a shell.

/** Stands in the page for the address of the server, which each request knows anew. */
export const originMark = '%ORIGIN%'

/** A call of an operation by curl. Ids of the path are variables of the shell: `thread_id=thread_...`. */
export function curlExample(
  document: Document,
  path: string,
  method: string,
  operation: OperationObject,
): string {
  const { parameters = [], requestBody } = operation
  const resolved = parameters.map((one) => ('$ref' in one ? parameterAt(document, one.$ref) : one))
  const headers = resolved.filter((one) => one.in === 'header' && one.required)
  const body = requestBody?.content['application/json']
  const form = requestBody?.content['multipart/form-data']
  const sample = body && exampleOf(document, body.schema)
  const streams = (sample as { stream?: unknown } | undefined)?.stream === true
  const target = path.replaceAll(/\{(\w+)\}/g, '$$$1')
  const quoted = target === path ? `${originMark}${path}` : `"${originMark}${target}"`
  return [
    `curl ${streams ? '-N ' : ''}${methodOption(method, Boolean(requestBody))}${quoted}`,
    ...headers.map(({ name, schema }) => `-H '${name}: ${String(schema.const)}'`),
    ...(body
      ? [`-H 'content-type: application/json'`, `-d '${JSON.stringify(sample).replaceAll("'", `'\\''`)}'`]
      : []),
    ...(form ? ['-F purpose=assistants', '-F file=@notes.txt'] : []),
  ].join(' \\\n  ')
}

function methodOption(method: string, hasBody: boolean): string {
  // curl posts by itself what has a body.
  return method === 'get' || hasBody ? '' : `-X ${method.toUpperCase()} `
}

function parameterAt({ components }: Document, ref: string): Parameter {
  const name = ref.split('/').at(-1) ?? ''
  const parameter = components.parameters[name]
  if (!parameter) throw new Error(`the document has no parameter '${name}'`)
  return parameter
}

/** A value that fits a schema: its own example, or the least that it takes. */
export function exampleOf(document: Document, schema: JsonSchema, name = ''): unknown {
  if (schema.$ref !== undefined) {
    const named = document.components.schemas[schema.$ref.split('/').at(-1) ?? '']
    return named && exampleOf(document, named, name)
  }
  const { examples, const: only, enum: values, anyOf, properties = {}, required = [] } = schema
  const given = examples?.[0] ?? schema.default ?? only ?? values?.[0]
  if (given !== undefined) return given
  if (anyOf?.[0]) return exampleOf(document, anyOf[0], name)
  if (schema.type === 'object')
    return Object.fromEntries(required.map((key) => [key, exampleOf(document, properties[key] ?? {}, key)]))
  if (schema.type === 'array') return schema.items ? [exampleOf(document, schema.items, name)] : []
  if (schema.type === 'integer' || schema.type === 'number') return schema.minimum ?? 1
  return schema.type === 'boolean' ? true : (texts[name] ?? 'text')
}

/** What stands for fields of these names. */
const texts: Record<string, string> = {
  assistant_id: 'asst_0Cp7dQ2vKfMz8sLh1TnYbW4x',
  file_id: 'file-0Cp7dQ2vKfMz8sLh1TnYbW4x',
  tool_call_id: 'call_0Cp7dQ2vKfMz8sLh1TnYbW4x',
  model: 'demo',
  name: 'miller',
  instructions: 'Be brief.',
  content: 'How did people grind corn?',
  output: '22 degrees',
}
