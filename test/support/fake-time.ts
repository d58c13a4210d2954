import { rename, writeFile } from 'node:fs/promises'

/**
 * Sets the clocks of all processes that libfaketime has under this file (FAKETIME_TIMESTAMP_FILE) so many seconds off. In one
 * step: whoever reads a file that is being written ends at once.
 */
export async function setOffset(file: string, seconds: number): Promise<void> {
  await writeFile(`${file}.new`, `${seconds >= 0 ? '+' : ''}${seconds}s\n`)
  await rename(`${file}.new`, file)
}
