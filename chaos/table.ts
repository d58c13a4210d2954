// The life of a run, written down a second time, from the published contract and not from the server's code: a checker
// that shared its table would share its mistakes.

/** What may follow a status, by one step. */
const successors: Record<string, readonly string[]> = {
  queued: ['in_progress', 'cancelling', 'cancelled', 'failed', 'expired'],
  // A turn that lost its server is queued again.
  in_progress: [
    'queued',
    'requires_action',
    'cancelling',
    'completed',
    'failed',
    'incomplete',
    'expired',
    'cancelled',
  ],
  requires_action: ['queued', 'cancelled', 'expired'],
  cancelling: ['cancelled'],
  completed: [],
  failed: [],
  incomplete: [],
  cancelled: [],
  expired: [],
}

export const statuses: ReadonlySet<string> = new Set(Object.keys(successors))

export function isTerminal(status: string): boolean {
  return successors[status]?.length === 0
}

/** Whether `to` can be seen after `from`, with steps between them that nobody saw. */
export function canFollow(from: string, to: string): boolean {
  const seen = new Set([from])
  for (const status of seen) for (const next of successors[status] ?? []) seen.add(next)
  return seen.has(to)
}
