/** The longest time that timers can count, about 25 days; what is longer would end at once. */
const longest = 2 ** 31 - 1

/** Calls `act` after `ms` milliseconds unless the function that it returns is called before. 0 never ends. */
export function startTimer(ms: number | undefined, act: () => void): () => void {
  if (!ms || ms > longest) return () => {}
  const timer = setTimeout(act, ms)
  return () => clearTimeout(timer)
}
