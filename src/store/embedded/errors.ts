/** The store cannot start; the message is for the person who started the server. */
export class StoreStartError extends Error {
  override name = 'StoreStartError'
}

/** The code of a failed system call ("ENOENT"), or the SQLSTATE of a failed query. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

// The same causes reach us as an error code of our own calls and as text from initdb and postgres.
const causes: { code: string; text: RegExp; say: (path: string) => string }[] = [
  {
    code: 'ENOSPC',
    text: /No space left on device/i,
    say: (path) => `The disk that holds ${path} is full. Free some space, or set DATA_DIR to another disk.`,
  },
  {
    code: 'EDQUOT',
    text: /Disk quota exceeded/i,
    say: (path) => `The disk quota for ${path} is used up. Free some space, or set DATA_DIR to another disk.`,
  },
  {
    code: 'EROFS',
    text: /Read-only file system/i,
    say: (path) => `The disk that holds ${path} is read-only. Set DATA_DIR to a folder that can be written.`,
  },
  {
    code: 'EACCES',
    text: /Permission denied/i,
    say: (path) =>
      `No permission to use ${path}. Give this user access to the folder, or set DATA_DIR to another one.`,
  },
  {
    code: '',
    text: /could not look up effective user ID/i,
    say: () =>
      'PostgreSQL needs a user with a name, and this user id has none: add it to /etc/passwd, run as another user, ' +
      'or set DATABASE_URL to use another Postgres.',
  },
]

/** Turns a failed call on `path` into the sentence a user needs; an error that already is one stays as it is. */
export function explainSystemError(error: unknown, path: string): StoreStartError {
  if (error instanceof StoreStartError) return error
  const code = codeOf(error) === 'EPERM' ? 'EACCES' : codeOf(error)
  const cause = causes.find((one) => one.code === code)
  const reason = error instanceof Error ? error.message : String(error)
  const message = cause
    ? `${cause.say(path)} (${code})`
    : `Could not prepare ${path} for the database: ${reason}.`
  return new StoreStartError(message, { cause: error })
}

/** Says why a program of PostgreSQL could not even be started. */
export function explainProgram(error: unknown, program: string): StoreStartError {
  const reason = error instanceof Error ? error.message : String(error)
  return new StoreStartError(
    `Cannot run ${program}: ${reason}. It must be on a disk that allows programs, and on Linux it needs glibc. ` +
      `Or set DATABASE_URL to use another Postgres.`,
    { cause: error },
  )
}

/** Turns what initdb or postgres printed before it failed into a sentence, with its last lines behind it. */
export function explainOutput(what: string, path: string, output: string): StoreStartError {
  const cause = causes.find((one) => one.text.test(output))
  const tail = lastLines(output)
  const said = tail === '' ? 'It printed nothing.' : `Its last lines:\n${tail}`
  return new StoreStartError(`${cause ? cause.say(path) + ' ' : ''}${what} failed for ${path}. ${said}`)
}

function lastLines(output: string): string {
  return output
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-8)
    .map((line) => '  ' + line)
    .join('\n')
}
