// The model endpoint of a project, as operators set it.

/** Where a key without a URL is for, as for the server itself. */
export const openAiUrl = 'https://api.openai.com/v1'

/** How many models a project may name, and how long their names may be. */
export const modelLimits = { count: 1_000, name: 256 } as const

/** What names hold that are shown on terminals: no control characters, which would steer them. */
// oxlint-disable-next-line no-control-regex -- they are what it looks for; \P{Cc} is not known to all readers of /openapi.json
export const printable = /^[^\u0000-\u001f\u007f-\u009f]*$/

/** What a change names; what it leaves out stays as it is. */
export interface EndpointChange {
  /** Null is the server's own endpoint. */
  url?: string | null
  key?: string | null
  /** Null is any model. */
  models?: string[] | null
}

/** Why this cannot be the URL of an endpoint ("must ..."), or null. A credential in it could be read by whoever is shown the URL. */
export function urlFault(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol) || text.length > 2_000)
    return 'must be an http or https URL such as http://127.0.0.1:11434/v1.'
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    return 'must not have a user, a password, a query or a fragment: give a key as the key.'
  return null
}

/** Whether a header can carry a text: what is not ASCII, servers read in different ways. */
export const isSendable = (text: string) => /^[ -~]*$/.test(text)

/** Why this cannot be the key of an endpoint, or null. */
export function keyFault(key: string): string | null {
  return isSendable(key) ? null : 'has characters that no header can carry: is there a line break in it?'
}

/** Why these cannot be the models that a project may use, or null. */
export function modelsFault(models: readonly string[]): string | null {
  const { count, name } = modelLimits
  const isName = (one: string) => one.length > 0 && one.length <= name && one !== '*' && printable.test(one)
  if (models.length <= count && models.every(isName)) return null
  return `must be at most ${count} names of 1 to ${name} characters without control characters, and * is none.`
}
