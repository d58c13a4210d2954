// The examples of the pages, and what is put into them so that they can run.

/** What is substituted in an example. */
export interface Substitutes {
  /** Ids and cursors by the name of the variable or option: `threadId`, `after`. */
  ids: Record<string, string>
  /** Constructor arguments of request objects by their class, as JavaScript. */
  requests: Record<string, string>
}

export const none: Substitutes = { ids: {}, requests: {} }

/** The javascript blocks of a page. */
export function examplesOf(page: string): string[] {
  return [...page.matchAll(/^```javascript\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block)
}

/** The method that an example shows: the first operation it calls, or the first helper. */
export function methodOf(example: string): string {
  const [helper] = /\b(?:waitForRun|streamEvents)\b/.exec(example) ?? []
  return helper ?? /\bapiInstance\.(\w+)\(/.exec(example)?.[1] ?? ''
}

/**
 * The example with real ids, cursors, request objects and address, and nothing else changed; with null in place of the
 * address it stays as it is. Throws for an example id that there is no substitute for.
 */
export function filledIn(example: string, basePath: string | null, { ids, requests }: Substitutes): string {
  const text = example
    .replace(/"(\w+)_example"/g, (_, name: string) => JSON.stringify(ids[name] ?? missing(name)))
    .replace(/new OpenAiAssistantsApi\.(\w+Request)\(\)/g, (_, name: string) => {
      return `new OpenAiAssistantsApi.${name}(${requests[name] ?? ''})`
    })
  const ours = 'http://127.0.0.1:8283'
  if (basePath === null || text.includes(ours)) return text.replaceAll(ours, basePath ?? ours)
  const [line = missing('import')] = /^import OpenAiAssistantsApi from .*$/m.exec(text) ?? []
  const address = `OpenAiAssistantsApi.ApiClient.instance.basePath = ${JSON.stringify(basePath)};`
  return text.replace(line, `${line}\n${address}`)
}

function missing(what: string): never {
  throw new Error(`no substitute for ${what}`)
}
