/** Whether a content type is JSON, with parameters or without. */
export function isJsonMime(contentType: string | null | undefined): boolean {
  return /^application\/json(;.*)?$/i.test(contentType ?? '')
}
