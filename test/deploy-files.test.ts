import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { exitCodes } from '../src/cli/command.ts'
import { readConfig, settings } from '../src/config.ts'
import { root } from './support/embedded-postgres.ts'

// The files that others run Threadmill with. No engine of containers runs here: what can be told from the text is.

const read = (path: string) => readFileSync(join(root, path), 'utf8')

interface Instruction {
  name: string
  /** Of the stage that it is in; '' for one without a name. */
  stage: string
  words: string[]
  text: string
}

/** The instructions of the Dockerfile, with lines that go on put together. */
const instructions: Instruction[] = []
for (const line of read('Dockerfile')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n/g, ' ')
  .split('\n')
  .filter((one) => one.trim() !== '')) {
  const [name = '', ...words] = line.trim().split(/\s+/)
  const stage = name === 'FROM' ? (words[2] ?? '') : (instructions.at(-1)?.stage ?? '')
  instructions.push({ name, stage, words, text: words.join(' ') })
}
const final = instructions.filter(({ stage }) => stage === '')
const only = (name: string) => final.find((one) => one.name === name) ?? assert.fail(`there is no ${name}`)

/** What .dockerignore lets through. */
const ignore = read('.dockerignore').split('\n')
const allowed = ignore.flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []))

test('what the Dockerfile copies is there, and gets past .dockerignore', () => {
  assert.equal(
    ignore.find((line) => line !== '' && !line.startsWith('#')),
    '*',
  )
  const copies = instructions.filter(({ name }) => name === 'COPY')
  const ofContext = copies
    .filter(({ words }) => !words[0]?.startsWith('--from='))
    .flatMap(({ words }) => words.slice(0, -1))
  assert.ok(ofContext.length > 10)
  for (const path of ofContext) {
    assert.ok(existsSync(join(root, path)), path)
    assert.ok(allowed.includes(path), `${path} is not in .dockerignore`)
  }
  for (const path of allowed) assert.ok(ofContext.includes(path), `${path} is sent and not copied`)
  const stages = new Set(instructions.map(({ stage }) => stage))
  for (const { words, text } of copies.filter((one) => !ofContext.includes(one.words[0] ?? ''))) {
    const from = /^--from=(\w+)$/.exec(words[0] ?? '')?.[1]
    if (from !== undefined) assert.ok(stages.has(from), text)
  }
})

test('the image has what the program reads beside its code: its package.json, the migrations, the errors', () => {
  const copied = final.filter(({ name }) => name === 'COPY').flatMap(({ words }) => words.slice(0, -1))
  for (const path of ['package.json', 'bin', 'sql', 'docs', '/build/dist', '/packages/node_modules'])
    assert.ok(copied.includes(path), path)
  assert.match(read('Dockerfile'), /npm ci --omit=dev [^\n]*--ignore-scripts/)
})

test('the image is slim, runs as an ordinary user, hears signals itself, and says how it is', () => {
  for (const { words } of instructions.filter(({ name }) => name === 'FROM'))
    assert.match(words[0] ?? '', /^node:24-slim$/)
  const users = final.flatMap(({ name, text }, at) => (name === 'USER' ? [{ text, at }] : []))
  assert.deepEqual(
    users.map(({ text }) => text),
    ['node'],
  )
  // Nothing is made after it that root would own, and nothing before it needs to be undone.
  assert.ok(final.slice(users[0]?.at).every(({ name }) => !['RUN', 'COPY', 'ADD'].includes(name)))
  assert.deepEqual(JSON.parse(only('ENTRYPOINT').text), ['node', '/app/bin/threadmill.mjs'])
  const [, flag, program = ''] = JSON.parse(only('HEALTHCHECK').text.replace(/^.*CMD /, '')) as string[]
  assert.equal(flag, '-e')
  // Nobody listens there: the check says so by its exit code, without a word.
  const check = spawnSync(process.execPath, ['-e', program], {
    env: { ...process.env, PORT: '1' },
    encoding: 'utf8',
  })
  assert.deepEqual([check.status, check.stderr], [1, ''])
})

const known = new Set<string>(Object.values(settings).map(({ name }) => name))

test('the files of deployment name settings that there are', () => {
  const named = {
    Dockerfile: [...only('ENV').text.matchAll(/(\w+)=/g)].map(([, name = '']) => name),
    'compose.yaml': [...read('compose.yaml').matchAll(/^ {6}([A-Z][A-Z_]+):/gm)].map(([, name = '']) => name),
    'deploy/threadmill.service': [...read('deploy/threadmill.service').matchAll(/^Environment=(\w+)=/gm)].map(
      ([, name = '']) => name,
    ),
  }
  const others = /^(NODE_ENV|PATH|POSTGRES_(USER|PASSWORD|DB))$/
  for (const [file, names] of Object.entries(named)) {
    assert.ok(names.length > 1, file)
    for (const name of names) assert.ok(known.has(name) || others.test(name), `${file}: ${name}`)
  }
})

test('compose hands every setting of .env on, but for those that it decides itself', () => {
  const text = read('compose.yaml')
  const decided = ['HOST', 'PORT', 'DATA_DIR', 'DATABASE_URL', 'ALLOW_ANONYMOUS']
  for (const name of known) {
    const otherwise = name === 'REQUIRE_KEYS' ? '1' : ''
    assert.equal(text.includes(`\n      ${name}: \${${name}:-${otherwise}}\n`), !decided.includes(name), name)
  }
  // What is empty counts as not set.
  const empty = Object.fromEntries([...known].map((name) => [name, '']))
  assert.deepEqual(readConfig(empty), readConfig({}))
})

test('compose waits for the database that stays, not for the one of its making, which answers on the socket alone', () => {
  assert.match(read('compose.yaml'), /test: \[CMD, pg_isready, --host=127\.0\.0\.1, /)
})

test('the image asks for keys, and compose publishes it to this machine alone', () => {
  assert.match(only('ENV').text, /\bREQUIRE_KEYS=1\b/)
  assert.doesNotMatch(read('compose.yaml') + read('Dockerfile'), /ALLOW_ANONYMOUS/)
  const text = read('compose.yaml')
  assert.deepEqual(
    [...text.matchAll(/^ {6}- (\S*:8283)$/gm)].map(([, port]) => port),
    ['127.0.0.1:8283:8283'],
  )
  assert.match(text, /condition: service_healthy/)
  assert.match(text, /stop_grace_period: 20s/)
})

test('the systemd unit gives a stop its time, and does not try again what cannot succeed', () => {
  const unit = read('deploy/threadmill.service')
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1]
  assert.equal(value('User'), 'threadmill')
  assert.equal(value('KillMode'), 'mixed')
  assert.ok(Number(value('TimeoutStopSec')) > 15)
  assert.equal(value('Restart'), 'on-failure')
  assert.equal(value('RestartPreventExitStatus'), `${exitCodes.usage} ${exitCodes.config}`)
})

test('nginx passes events on as they come, waits longer than a stream is silent, and takes the largest file', () => {
  const site = read('deploy/nginx.conf')
  const value = (name: string) => new RegExp(`^\\s*${name} (.*);$`, 'm').exec(site)?.[1]
  assert.equal(value('proxy_buffering'), 'off')
  assert.equal(value('proxy_request_buffering'), 'off')
  assert.equal(value('proxy_http_version'), '1.1')
  assert.ok(parseInt(value('proxy_read_timeout') ?? '') > 15)
  assert.ok(parseInt(value('client_max_body_size') ?? '') * 1024 ** 2 > settings.maxFileBytes.read(null))
  assert.doesNotMatch(site, /\$proxy_add_x_forwarded_for|\$remote_addr/)
})

/** What threadmill-admin hands on with these settings (null: there is no such file): the variables, the words, and what it says. */
function administered(settingsText: string | Buffer | null) {
  const folder = mkdtempSync('/tmp/threadmill-admin-')
  after(() => rmSync(folder, { recursive: true, force: true }))
  const settingsFile = join(folder, 'environment')
  if (settingsText !== null) writeFileSync(settingsFile, settingsText)
  const program = join(folder, 'program')
  writeFileSync(program, `#!/bin/sh\nenv -0\nprintf '%s\\0' "$@"\n`, { mode: 0o755 })
  // It stands in for the one that changes the user.
  writeFileSync(join(folder, 'runuser'), `#!/bin/sh\nshift 3\nexec "$@"\n`, { mode: 0o755 })
  const script = read('deploy/threadmill-admin')
    .replace('/etc/threadmill/environment', settingsFile)
    .replace('/opt/threadmill/node_modules/.bin/threadmill', program)
    .replace('/opt/threadmill/node_modules/threadmill/', `${root}/`)
  const path = `${folder}:${dirname(process.execPath)}:${process.env['PATH']}`
  const ran = spawnSync('sh', ['-c', script, 'threadmill-admin', 'keys', 'list all'], {
    env: { PATH: path },
    encoding: 'utf8',
  })
  const said = ran.stdout.split('\0').slice(0, -1)
  const own = /^(?:PATH|PWD|OLDPWD|SHLVL|_|DATA_DIR)=/
  return {
    status: ran.status,
    stderr: ran.stderr.replaceAll(settingsFile, 'FILE'),
    words: said.slice(-2),
    dataDir: said.find((one) => one.startsWith('DATA_DIR=')),
    variables: said
      .slice(0, -2)
      .filter((one) => !own.test(one))
      .toSorted(),
  }
}

test('threadmill-admin takes the settings whatever is in them, and the data folder of the unit', () => {
  const values = [
    'DATABASE_URL=postgres:///mill?host=/var/run/postgresql&user=mill',
    'KEYS_SECRET=a $HOME `id` * # ; "b" $(id)',
  ]
  const unit = read('deploy/threadmill.service')
  const dataDir = /^Environment=(DATA_DIR=.*)$/m.exec(unit)?.[1]
  const words = ['keys', 'list all']
  const plain = { status: 0, stderr: '', words, dataDir }
  assert.deepEqual(administered(['# A comment=1', '', ...values].join('\n')), { ...plain, variables: values })
  assert.deepEqual(administered('DATA_DIR=/data'), { ...plain, dataDir: 'DATA_DIR=/data', variables: [] })
  // The unit allows that, too.
  assert.deepEqual(administered(null), { ...plain, variables: [] })
})

test('threadmill-admin reads the settings as systemd does: quotes, backslashes, lines that go on, and lines that set nothing', () => {
  const cases: [text: string, ...variables: string[]][] = [
    ['A=b\r\nC=d\r\n', 'A=b', 'C=d'],
    [' \tA = b c \t\n', 'A=b c'],
    ['A=\nB', 'A='],
    ['A=1\nA=2', 'A=2'],
    ['# A=1\\\nB=2\n;C=3\n  # D=4', 'B=2'],
    ['A=b#c;d # e', 'A=b#c;d # e'],
    // Lines that go on.
    ['A=b \\\n  c', 'A=b   c'],
    ['A=b\\\nC=d\nE=f', 'A=bC=d', 'E=f'],
    ['A=b\\\r\nC=d', 'A=b', 'C=d'],
    ['A=b\\', 'A=b'],
    // Backslashes.
    ['A=C:\\\\dir\\name', 'A=C:\\dirname'],
    ['A=\\ b\\ \nC=\\"d\\"', 'A= b ', 'C="d"'],
    // Quotes.
    [`A=" b "\nC=' d '`, 'A= b ', 'C= d '],
    ['A="b\\"c\\\\d\\$e\\`f\\n\\\'g"', 'A=b"c\\d$e`f\\n\\\'g'],
    [`A='b\\n"c"\\'`, 'A=b\\n"c"\\'],
    ['A="b\nc\\\nd"\nE=f', 'A=b\ncd', 'E=f'],
    [`A='b\nc'\nE=f`, 'A=b\nc', 'E=f'],
    [`A="b" 'c'  d "e" `, 'A=bcd "e"'],
    [`A=it's\nB="it's"\nC=''`, "A=it's", "B=it's", 'C='],
    ['A="b\nC=d', 'A=b\nC=d'],
    ["A='b\\", 'A=b\\'],
    ['A="b\\', 'A=b'],
  ]
  for (const [text, ...variables] of cases) {
    const { status, stderr, variables: read } = administered(text)
    assert.deepEqual([status, stderr, read], [0, '', variables], JSON.stringify(text))
  }
})

test('threadmill-admin says which names are none, without their values, and takes nothing of a file that systemd would refuse', () => {
  const { status, stderr, variables } = administered('export A=secret\n1B=secret\n=C=secret\nD-E=secret\nF=g')
  assert.deepEqual([status, variables], [0, ['F=g']])
  const names = ['export A', '1B', '=C', 'D-E']
  assert.equal(stderr, names.map((one) => `FILE: "${one}" is no name of a variable: ignored.\n`).join(''))
  for (const bytes of [Buffer.from('A=b\nC=\xff', 'latin1'), Buffer.from('A=b\0')]) {
    const refused = administered(bytes)
    assert.deepEqual([refused.status, refused.words], [1, []])
    assert.match(refused.stderr, /^FILE cannot be read: .+\n$/)
  }
})
