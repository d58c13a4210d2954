import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startApp } from '../src/app.ts'
import { exitCodes, Failure, type Call, type Command } from '../src/cli/command.ts'
import { commands } from '../src/cli/commands.ts'
import { runCommand } from '../src/cli/run.ts'
import { ConfigError, readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { StoreStartError } from '../src/store/embedded/errors.ts'
import { atEnd, createDatabase } from './support/database.ts'
import { root } from './support/embedded-postgres.ts'
import { startPgProxy } from './support/pg-proxy.ts'

interface Said {
  code: number
  out: string
  err: string
}

async function say(words: string, table: readonly Command[] = commands): Promise<Said> {
  const said = { out: '', err: '' }
  const output = {
    out: (text: string) => void (said.out += text),
    err: (text: string) => void (said.err += text),
  }
  const code = await runCommand(table, words.split(' ').filter(Boolean), {}, output)
  return { code, ...said }
}

/** A table with what the real one may not have: groups, options, arguments. */
function tableOf(run: Command['run'] = async () => exitCodes.done): Command[] {
  return [
    {
      name: 'first',
      summary: 'Is what no command means.',
      options: { loud: { type: 'boolean', help: 'Louder' } },
      run,
    },
    {
      name: 'box open',
      summary: 'Opens a box.',
      takes: ['BOX', '[KEY]'],
      options: { how: { type: 'string', short: 'w', value: 'WAY', help: 'In which way' } },
      run,
    },
    { name: 'box close', summary: 'Closes it.', run },
  ]
}

test('every command tells of itself with --help and -h, on stdout, and is in the list', async () => {
  const list = await say('--help')
  assert.equal(list.code, 0)
  assert.equal((await say('help')).out, list.out)
  for (const { name, summary } of commands) {
    assert.ok(list.out.includes(summary), name)
    for (const words of [`${name} --help`, `${name} -h`, `help ${name}`]) {
      const { code, out, err } = await say(words)
      assert.deepEqual([code, err], [0, ''], words)
      assert.ok(out.startsWith(`Usage: threadmill ${name}`) && out.includes(summary), words)
    }
  }
})

test('--version names the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  assert.deepEqual(await say('--version'), { code: 0, out: `${version}\n`, err: '' })
})

test('what is not understood ends with 64, names what it was, and says what to do next', async () => {
  const cases: [string, RegExp][] = [
    ['nonsense', /there is no command "nonsense"\. `threadmill --help` lists/],
    ['help nonsense', /there is no command "nonsense"/],
    ['box shut', /there is no command "box shut"\. `threadmill box --help` lists/],
    ['box open', /BOX is missing\. `threadmill box open --help` says what it takes/],
    ['box open a b c', /"c" is more than it takes/],
    ['box close --hard', /Unknown option '--hard'\. `threadmill box close --help`/],
    ['box open a --how', /'-w, --how <value>' argument missing/],
    ['--quiet', /Unknown option '--quiet'/],
  ]
  for (const [words, says] of cases) {
    const { code, out, err } = await say(words, tableOf())
    assert.deepEqual([code, out], [64, ''], words)
    assert.match(err, says)
    assert.match(err, /^threadmill: .+\n$/)
  }
  const group = await say('box', tableOf())
  assert.deepEqual([group.code, group.out], [64, ''])
  assert.match(group.err, /box open BOX \[KEY\] {2}Opens a box\.\n {2}box close/)
  assert.deepEqual(await say('box --help', tableOf()), { code: 0, out: group.err, err: '' })
})

test('a command is called with what stands behind its name', async () => {
  const calls: Pick<Call, 'args' | 'options'>[] = []
  const table = tableOf(async ({ args, options }) => {
    calls.push({ args, options: { ...options } })
    return 0
  })
  for (const words of [
    'box open red',
    'box open red iron --how slowly',
    'box open -w fast red',
    '--loud',
    '',
  ])
    assert.equal((await say(words, table)).code, 0, words)
  assert.deepEqual(calls, [
    { args: ['red', undefined], options: {} },
    { args: ['red', 'iron'], options: { how: 'slowly' } },
    { args: ['red', undefined], options: { how: 'fast' } },
    { args: [], options: { loud: true } },
    { args: [], options: {} },
  ])
})

test('what the user can mend is said in a sentence, with a code for its kind; a fault of ours has its stack', async () => {
  const cases: [Error, number, RegExp][] = [
    [new Failure(exitCodes.badData, 'The file is damaged.'), 65, /^threadmill: The file is damaged\.\n$/],
    [new ConfigError('PORT is odd.'), 78, /^threadmill: PORT is odd\.\n$/],
    [new StoreStartError('No disk.'), 69, /^threadmill: No disk\.\n$/],
    [Object.assign(new Error('x'), { code: 'EADDRINUSE', port: 1 }), 69, /^threadmill: port 1 is taken/],
    [new TypeError('our own'), 1, /^TypeError: our own\n {4}at /],
  ]
  for (const [error, exitCode, says] of cases) {
    const { code, out, err } = await say(
      'first',
      tableOf(() => Promise.reject(error)),
    )
    assert.deepEqual([code, out], [exitCode, ''])
    assert.match(err, says)
  }
})

test('a start whose database goes away under it says so in a sentence, with the code for what may be there again', async () => {
  const db = await createDatabase()
  atEnd(() => db.drop())
  const proxy = await startPgProxy(db.url)
  const config = readConfig({ PORT: '0', DATABASE_URL: proxy.url })
  // Once more than a read is repeated.
  proxy.loseAnswersOf('valid_api_keys', 2)
  const start = () => startApp(config, createLog('silent')).then(() => exitCodes.done)
  const { code, out, err } = await say('first', tableOf(start))
  assert.equal(proxy.lost, 2)
  assert.deepEqual([code, out], [69, ''])
  assert.match(
    err,
    /^threadmill: the connection to the database broke: .+\. Try again when the database is there\.\n$/,
  )
})

test('the program itself passes its words on and ends with the code', () => {
  const run = (...words: string[]) =>
    spawnSync(process.execPath, [join(root, 'bin/threadmill.mjs'), ...words], { encoding: 'utf8' })
  const { status, stdout } = run('--version')
  assert.equal(status, 0)
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
  assert.deepEqual([run('nonsense').status, run('nonsense').stdout], [64, ''])
})
