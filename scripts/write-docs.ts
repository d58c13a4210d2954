import { readFile, writeFile } from 'node:fs/promises'
import { commands } from '../src/cli/commands.ts'
import { settings } from '../src/config.ts'
import type { Setting } from '../src/setting.ts'
import { Metrics } from '../src/observe/metrics.ts'
import { watchProcess } from '../src/observe/process-metrics.ts'
import { commandHelp, exitCodeMeanings, overview } from '../src/cli/help.ts'

// Pages that are written from the code: `npm run docs` writes them anew, and test/written-docs.test.ts compares.

const head = '<!-- Written by `npm run docs`: do not edit. -->'

/** docs/cli.md: the help of every command, and the exit codes. */
export function cliPage(): string {
  const codes = Object.entries(exitCodeMeanings).map(([code, meaning]) => `| ${code} | ${meaning} |`)
  const helps = commands.flatMap((command) => ['', `## ${command.name}`, '', ...block(commandHelp(command))])
  return [
    head,
    '',
    '# Commands',
    '',
    'In a clone write `npm start -- COMMAND` for `threadmill COMMAND`. Settings are environment variables, the same for all commands.',
    '',
    ...block(overview(commands)),
    '',
    '## Exit codes',
    '',
    'What went wrong, and what to do next, is on stderr.',
    '',
    '| code | meaning |',
    '|---|---|',
    ...codes,
    ...helps,
    '',
  ].join('\n')
}

/** docs/config.md: every setting. */
export function configPage(): string {
  const all: Setting<unknown>[] = Object.values(settings)
  const rows = all.map(({ name, kind, otherwise, means }) => {
    const value = /^(none|a table)$/.test(otherwise) ? otherwise : `\`${otherwise}\``
    return `| \`${name}\` | ${kind} | ${value} | ${means} |`
  })
  return [
    head,
    '',
    '# Settings',
    '',
    'All are environment variables; one that is empty counts as not set. A value that cannot be used stops the start with a sentence and the',
    'exit code 78. Those who show their environment to others should know: `DATABASE_URL` may hold a password.',
    '',
    '| name | value | default | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

/** docs/metrics.md: everything that /metrics tells. */
export function metricsPage(): string {
  const { registry } = new Metrics()
  watchProcess(registry)()
  const rows = registry.descriptions.map(({ name, kind, labels, help }) => {
    const shown = labels.map((label) => `\`${label}\``).join(', ')
    return `| \`${name}\` | ${kind} | ${shown} | ${help} |`
  })
  return [
    head,
    '',
    '# Metrics',
    '',
    '`GET /metrics` tells these in the text format of Prometheus, version 0.0.4. How to read them, and alerts to begin with: [observe.md](observe.md).',
    '',
    '| name | kind | labels | meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

function block(text: string): string[] {
  return ['```', text.trimEnd(), '```']
}

/** The pages by their path from the root of the repository. */
export const pages: Record<string, () => string> = {
  'docs/cli.md': cliPage,
  'docs/config.md': configPage,
  'docs/metrics.md': metricsPage,
}

const root = new URL('../', import.meta.url)

/** The page as it lies in the repository. */
export function written(path: string): Promise<string> {
  return readFile(new URL(path, root), 'utf8')
}

if (import.meta.main) {
  for (const [path, page] of Object.entries(pages)) await writeFile(new URL(path, root), page())
}
