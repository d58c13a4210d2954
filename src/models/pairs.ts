/** Reads a setting of `name=value` pairs, comma-separated. Throws an Error that names the pair that is none. */
export function parsePairs(setting: string, text: string): [name: string, value: string][] {
  const parts = text.split(',').map((part) => part.trim())
  return parts
    .filter((part) => part !== '')
    .map((part) => {
      const at = part.indexOf('=')
      const name = part.slice(0, Math.max(at, 0)).trim()
      const value = part.slice(at + 1).trim()
      if (name === '' || value === '') {
        throw new Error(`${setting}: "${part}" is not a pair. Write name=value, pairs separated by commas.`)
      }
      return [name, value]
    })
}
