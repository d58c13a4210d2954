/** Whether a name or address, without port, always means this machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === '[::1]' || hostname === '::1' || /^(?:.+\.)?localhost$|^127(?:\.\d{1,3}){3}$/i.test(hostname)
  )
}
