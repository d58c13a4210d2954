import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

// Secrets as they lie in the database: AES-256-GCM under a key from the environment (SECRETS_KEY). What a secret is for is sealed
// with it, so that whoever can write to the database cannot put it to another use.

const form = 'v1.'
const nonceBytes = 12
const tagBytes = 16

/** The least that SECRETS_KEY may have, in characters. */
export const secretsKeyLength = 32

/** The key that secrets are sealed with, from the text of SECRETS_KEY. That is random, so no slow derivation is needed. */
export function sealingKey(secretsKey: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secretsKey, '', 'threadmill sealed secrets', 32))
}

/** A secret that only whoever has the key can read, and only for the same `use`. */
export function seal(key: Buffer, secret: string, use: string): string {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(use))
  const content = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
  return form + Buffer.concat([nonce, cipher.getAuthTag(), content]).toString('base64url')
}

/** The secret; null if it was sealed with another key or for another use, or is damaged. */
export function unseal(key: Buffer, sealed: string, use: string): string | null {
  if (!sealed.startsWith(form)) return null
  const bytes = Buffer.from(sealed.slice(form.length), 'base64url')
  if (bytes.length < nonceBytes + tagBytes) return null
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes), {
      authTagLength: tagBytes,
    })
    decipher.setAAD(Buffer.from(use)).setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes))
    const content = bytes.subarray(nonceBytes + tagBytes)
    return decipher.update(content, undefined, 'utf8') + decipher.final('utf8')
  } catch {
    return null
  }
}
