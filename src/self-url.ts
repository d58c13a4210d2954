import { lookup } from 'node:dns/promises'
import { networkInterfaces } from 'node:os'
import { ConfigError } from './config.ts'

// SDKs read OPENAI_BASE_URL too, so it is easily left pointing at this very server, which would then call
// itself for every run.

/** Throws ConfigError if `url` leads to the address that this server is going to listen on. */
export async function refuseOwnAddress(url: string, host: string, port: number): Promise<void> {
  const target = new URL(url)
  const targetPort = Number(target.port || (target.protocol === 'https:' ? 443 : 80))
  if (port === 0 || targetPort !== port) return
  const [targets, own] = await Promise.all([addressesOf(target.hostname), listeningOn(host)])
  if (targets.some((address) => own.has(address))) {
    throw new ConfigError(
      `OPENAI_BASE_URL (${target.origin}) is the address of this server itself. Set it to the model endpoint, ` +
        'for instance http://127.0.0.1:11434/v1 for Ollama, or unset it to use the demo model. ' +
        'The address of this server belongs in the environment of your app.',
    )
  }
}

async function addressesOf(hostname: string): Promise<string[]> {
  const name = hostname.replace(/^\[|\]$/g, '')
  // Names below .localhost are loopback whatever a resolver says (RFC 6761).
  if (name === 'localhost' || name.endsWith('.localhost')) return ['127.0.0.1', '::1']
  try {
    return (await lookup(name, { all: true })).map((entry) => entry.address)
  } catch {
    // A name that does not resolve is not this server; the first model call will say what is wrong.
    return []
  }
}

async function listeningOn(host: string): Promise<Set<string>> {
  const everywhere = host === '0.0.0.0' || host === '::' || host === ''
  if (!everywhere) return new Set([...(await addressesOf(host)), '0.0.0.0', '::'])
  const local = Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])
  return new Set([...local.map((entry) => entry.address), '127.0.0.1', '::1', '0.0.0.0', '::'])
}
