import { createHmac, randomInt } from 'node:crypto'

// Keys of this server, as clients send them: `sk-tm-` and 43 characters of base62, which are 256 bits.

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const start = 'sk-tm-'

/** A new key. It is shown once; what is stored is its HMAC. */
export function newApiKey(): string {
  return start + Array.from({ length: 43 }, () => alphabet.charAt(randomInt(62))).join('')
}

/** Whether a credential has the form of a key of this server. */
export function isApiKey(credential: string): boolean {
  return credential.startsWith(start)
}

/** What may be shown of a key: enough to tell it from others, by far too little to guess it. */
export function prefixOf(key: string): string {
  return key.slice(0, start.length + 4)
}

/**
 * What is stored of a key: its HMAC-SHA-256, in hexadecimal digits. Keys are random, so that no slow hash is needed. `secret` is
 * KEYS_SECRET: with it nobody can tell from the database alone whether a key is right.
 */
export function hmacOf(key: string, secret: string | null): string {
  return createHmac('sha256', secret ?? 'threadmill api key')
    .update(key)
    .digest('hex')
}
