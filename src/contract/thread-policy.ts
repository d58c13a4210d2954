/** What becomes of a run or a message that comes while a run holds its thread. */
export const threadPolicies = ['reject', 'queue', 'replace'] as const
export type ThreadPolicy = (typeof threadPolicies)[number]

/** The header with which a request says it, or sets it for a thread. */
export const policyHeader = 'x-thread-policy'

/** Runs and messages that may wait for a thread. */
export const mostWaiting = 100
