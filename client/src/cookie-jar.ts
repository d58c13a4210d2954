/** Cookies of servers, kept for later requests to the same host. Browsers keep their own. */
export class CookieJar {
  /** By host: cookies by name. */
  readonly #hosts = new Map<string, Map<string, string>>()

  /** Takes up the cookies of an answer; one that has expired is forgotten. */
  save(url: string, headers: Headers): void {
    const { host } = new URL(url)
    const cookies = this.#hosts.get(host) ?? new Map<string, string>()
    for (const line of headers.getSetCookie()) {
      const [, name, value] = /^\s*([^=;]+)=([^;]*)/.exec(line) ?? []
      if (name === undefined || value === undefined) continue
      if (hasExpired(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
    this.#hosts.set(host, cookies)
  }

  /** The header for a request; empty if there is no cookie. */
  header(url: string): string {
    const cookies = this.#hosts.get(new URL(url).host) ?? new Map<string, string>()
    return [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  }
}

function hasExpired(line: string): boolean {
  const maxAge = /;\s*max-age=(-?\d+)/i.exec(line)?.[1]
  if (maxAge !== undefined) return Number(maxAge) <= 0
  const expires = /;\s*expires=([^;]+)/i.exec(line)?.[1]
  return expires !== undefined && Date.parse(expires) <= Date.now()
}
