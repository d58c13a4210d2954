import { closeSync, copyFileSync, openSync, readSync, statSync, truncateSync } from 'node:fs'

// Bytes. Two files of this size at most; a quiet server writes a few lines a day.
const largest = 4_000_000

/** Opens the log that postgres writes; it is a file because postgres outlives a server that is killed. */
export function openServerLog(path: string): { descriptor: number; size: number } {
  boundServerLog(path)
  const descriptor = openSync(path, 'a', 0o600)
  return { descriptor, size: statSync(path).size }
}

/** Keeps the log small while postgres has it open; it appends, so it goes on at the new end. */
export function boundServerLog(path: string): void {
  try {
    if (statSync(path).size <= largest) return
    copyFileSync(path, path + '.1')
    truncateSync(path)
  } catch {
    // Only the log suffers; the next round tries again.
  }
}

/** What was written since the log had `size` bytes, its last part if it is long. */
export function readServerLog(path: string, size: number): string {
  try {
    const end = statSync(path).size
    const buffer = Buffer.alloc(Math.min(16_000, Math.max(0, end - size)))
    const descriptor = openSync(path, 'r')
    try {
      readSync(descriptor, buffer, 0, buffer.length, end - buffer.length)
    } finally {
      closeSync(descriptor)
    }
    return buffer.toString()
  } catch {
    return ''
  }
}
