import { lookup } from 'node:dns/promises'
import { isIPv6, SocketAddress } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ConfigError } from './config.ts'

// SDKs read OPENAI_BASE_URL too, so it is easily left pointing at this very server, which would then call
// itself for every run.

/** Throws ConfigError if `url` leads to the address that this server is going to listen on. */
export async function refuseOwnAddress(url: string, host: string, port: number): Promise<void> {
  const target = new URL(url)
  const targetPort = Number(target.port || (target.protocol === 'https:' ? 443 : 80))
  if (port === 0 || targetPort !== port) return
  const [targets, own] = await Promise.all([addressesOf(target.hostname), ownAddresses(host)])
  if (targets.some(own)) {
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
    return (await lookup(name, { all: true })).map((entry) => inOneForm(entry.address))
  } catch {
    // A name that does not resolve is not this server; the first model call will say what is wrong.
    return []
  }
}

/** An address as others write it too: one of IPv4 may stand within one of IPv6. */
function inOneForm(address: string): string {
  if (!isIPv6(address)) return address
  return new SocketAddress({ address, family: 'ipv6' }).address.replace(/^::ffff:(?=\d+\.)/, '')
}

/** Whether a connection to an address arrives where a server on `host` listens. */
async function ownAddresses(host: string): Promise<(address: string) => boolean> {
  const listening = host === '' ? everywhere : await addressesOf(host)
  if (!listening.some((address) => everywhere.includes(address)))
    return (address) => [...listening, ...everywhere].includes(address)
  const local = Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])
  const own = new Set([...local.map((entry) => entry.address), '::1', ...everywhere])
  // All of 127/8 is this machine, though its interface names one address alone.
  return (address) => own.has(address) || address.startsWith('127.')
}

/** Listened on it is every address; called it is this machine. */
const everywhere = ['0.0.0.0', '::']
