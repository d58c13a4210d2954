import type { Command } from './command.ts'

export const backupCommand: Command = {
  name: 'backup',
  summary: 'Writes all data to a file, while servers go on working.',
  takes: ['FILE'],
  details: `FILE must not exist yet; - is stdout. It holds everything but the settings, as of one moment: threads, runs, files, keys.
What is backed up is named by DATA_DIR or DATABASE_URL, as for serve. Works without any program of PostgreSQL. See docs/backup.md.`,
  run: async (call) => (await import('./backup.ts')).backup(call),
}

export const restoreCommand: Command = {
  name: 'restore',
  summary: 'Fills an empty database from a file that backup wrote.',
  takes: ['FILE'],
  details: `- is stdin. All or nothing: what fails leaves the database empty. The database is named by DATA_DIR or DATABASE_URL; one that holds
data is refused, and so is a backup of a newer version. Servers are started afterwards: they carry on the unfinished runs.`,
  run: async (call) => (await import('./backup.ts')).restoreFile(call),
}
