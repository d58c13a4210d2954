/**
 * The `content-disposition` of a download (RFC 6266): a name in plain ASCII for every client, and the name itself,
 * escaped, for those that know more.
 */
export function attachment(filename: string): string {
  // Some clients read % as the beginning of an escape here too.
  const plain = filename.replaceAll(/[^ -~]|["\\%]/gu, '_')
  if (plain === filename) return `attachment; filename="${filename}"`
  const escaped = encodeURIComponent(filename).replaceAll(/['()*]/g, percent)
  return `attachment; filename="${plain}"; filename*=UTF-8''${escaped}`
}

function percent(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase()}`
}
