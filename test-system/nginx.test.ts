import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import OpenAI, { toFile } from 'openai'
import { Agent, type Dispatcher } from 'undici'
import { createDatabase } from '../test/support/database.ts'
import { atEnd, makeFolder, root } from '../test/support/embedded-postgres.ts'
import { gate, startMockModel, text, type MockModel } from '../test/support/mock-model.ts'
import { freePort, plainEnvironment, start, until, type Started } from '../test/support/npm-start.ts'
import { textOf } from '../test/support/server.ts'

// Two servers behind Debian's nginx with deploy/nginx.conf, as docs/deploy.md has it, and apps that reach them by TLS.

const host = 'api.example.com'

interface Site {
  origin: string
  plain: string
  apiKey: string
  client: OpenAI
  fetch: typeof fetch
  mock: MockModel
  /** Ends a server in order and starts it again. */
  restart(which: 0 | 1): Promise<void>
}

/** A certificate that signs itself, as the page tells how to make one. */
function makeCertificate(folder: string): { key: string; certificate: string } {
  const [key, certificate] = [join(folder, 'privkey.pem'), join(folder, 'fullchain.pem')]
  const subject = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`]
  const files = ['-keyout', key, '-out', certificate]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files],
    {
      stdio: 'pipe',
    },
  )
  return { key, certificate }
}

interface Places {
  servers: number[]
  http: number
  https: number
}

/** Starts nginx with the site as it is shipped, but for its ports and its certificate. */
async function startNginx(t: TestContext, folder: string, { servers, http, https }: Places): Promise<void> {
  const { key, certificate } = makeCertificate(folder)
  const changes: [string, string][] = [
    ['127.0.0.1:8283', `127.0.0.1:${servers[0]}`],
    ['127.0.0.1:8284', `127.0.0.1:${servers[1]}`],
    ['listen 80;', `listen 127.0.0.1:${http};`],
    ['listen [::]:80;', ''],
    ['listen 443 ssl', `listen 127.0.0.1:${https} ssl`],
    ['listen [::]:443 ssl http2;', ''],
    ['/etc/threadmill/tls/fullchain.pem', certificate],
    ['/etc/threadmill/tls/privkey.pem', key],
  ]
  let site = readFileSync(join(root, 'deploy/nginx.conf'), 'utf8')
  for (const [from, to] of changes) {
    assert.ok(site.includes(from), from)
    site = site.replaceAll(from, to)
  }
  mkdirSync(join(folder, 'tmp'))
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (one) => `${one}_temp_path tmp/${one};`,
  )
  writeFileSync(join(folder, 'site.conf'), site)
  writeFileSync(
    join(folder, 'nginx.conf'),
    `user root; daemon off; pid nginx.pid; error_log stderr warn; events { worker_connections 1024; }
    http { access_log off; ${places.join(' ')} include site.conf; }`,
  )
  const words = ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr']
  execFileSync('nginx', ['-t', ...words], { stdio: 'pipe' })
  start(t, { command: ['nginx', ...words] })
}

/** Sends what is for the name to this machine, and trusts the certificate. */
function throughTls(t: TestContext, folder: string): typeof fetch {
  const dispatcher: Dispatcher = new Agent({
    connect: {
      ca: readFileSync(join(folder, 'fullchain.pem'), 'utf8'),
      lookup: (_host, { all }, done) =>
        all === true ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4),
    },
  })
  atEnd(t, () => dispatcher.close())
  return (url, init) => fetch(url, { ...init, dispatcher } as RequestInit)
}

async function startSite(t: TestContext): Promise<Site> {
  const folder = await makeFolder(t)
  const db = await createDatabase()
  atEnd(t, () => db.drop())
  const mock = await startMockModel()
  atEnd(t, () => mock.close())
  const ports = [await freePort(), await freePort()]
  const command: [string, ...string[]] = [process.execPath, join(root, 'src/main.ts')]
  const env = {
    ...plainEnvironment(),
    DATABASE_URL: db.url,
    OPENAI_BASE_URL: mock.baseUrl,
    OPENAI_API_KEY: 'sk-of-the-backend',
    ALLOWED_HOSTS: host,
    REQUIRE_KEYS: '1',
  }
  const made = execFileSync(process.execPath, [...command.slice(1), 'keys', 'create'], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const servers: Started[] = []
  const serve = async (which: number) => {
    servers[which] = start(t, { command, env: { ...env, PORT: String(ports[which]) } })
    await servers[which].listening()
  }
  await serve(0)
  await serve(1)
  const [http, https] = [await freePort(), await freePort()]
  await startNginx(t, folder, { servers: ports, http, https })
  const apiKey = made.trim()
  const byTls = throughTls(t, folder)
  const origin = `https://${host}:${https}`
  await until(
    () =>
      byTls(`${origin}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    'nginx answers',
  )
  return {
    origin,
    plain: `http://127.0.0.1:${http}`,
    apiKey,
    client: new OpenAI({ baseURL: `${origin}/v1`, apiKey, fetch: byTls }),
    fetch: byTls,
    mock,
    async restart(which) {
      servers[which]?.signalGroup('SIGTERM')
      assert.equal(await servers[which]?.ended(), 0)
      await serve(which)
    },
  }
}

const say = (content: string) => ({ role: 'user', content }) as const

test('apps use two servers behind nginx by TLS: runs, events as they happen, files, and restarts in turn', async (t) => {
  const site = await startSite(t)
  const { client, mock } = site
  const { threads } = client.beta
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'mock-model' })

  await t.test('a run is polled to its end and a stream tells what is said while it is said', async () => {
    const thread = await threads.create({ messages: [say('Hello?')] })
    const since = performance.now()
    assert.equal((await threads.runs.createAndPoll(thread.id, { assistant_id })).status, 'completed')
    // Held polls come through: no client waits its five seconds.
    assert.ok(performance.now() - since < 3_000)
    const held = gate()
    mock.next(text('First', held.opened, ' second.'))
    await threads.messages.create(thread.id, say('And now?'))
    const stream = threads.runs.stream(thread.id, { assistant_id })
    const [delta] = await stream.emitted('textDelta')
    assert.equal(delta.value, 'First')
    held.open()
    const run = await stream.finalRun()
    assert.equal(run.status, 'completed')
  })

  await t.test('a file goes up and comes down whole', async () => {
    const bytes = Buffer.alloc(3_000_000, 'threadmill')
    const file = await client.files.create({ file: await toFile(bytes, 'mill.bin'), purpose: 'assistants' })
    const content = Buffer.from(await (await client.files.content(file.id)).arrayBuffer())
    assert.ok(content.equals(bytes))
  })

  await t.test(
    'plain HTTP is sent to TLS, what is for those within is not there, and no other name is served',
    async () => {
      const plain = await fetch(`${site.plain}/v1/threads`, { redirect: 'manual', headers: { host } })
      assert.equal(plain.status, 308)
      for (const path of ['/metrics', '/metrics/', '/%6detrics', '/readyz', '/readyz/'])
        assert.equal((await site.fetch(site.origin + path)).status, 404, path)
      for (const mount of ['v1', 'openai', 'openai/v1', 'memgpt', 'memgpt/v1', '%76%31', '/v1']) {
        const answer = await site.fetch(`${site.origin}/${mount}/organization/projects`)
        // nginx itself says so.
        assert.deepEqual([answer.status, answer.headers.get('content-type')], [404, 'text/html'], mount)
      }
      // fetch lets nobody name another host.
      const status = ['--silent', '--insecure', '--output', '/dev/null', '--write-out', '%{http_code}']
      const key = ['--header', `Authorization: Bearer ${site.apiKey}`]
      const place = ['--resolve', `${new URL(site.origin).host}:127.0.0.1`]
      const threadsUrl = `${site.origin}/v1/threads`
      const asking = (name: string) =>
        execFileSync('curl', [...status, ...place, '--header', `Host: ${name}`, ...key, threadsUrl], {
          encoding: 'utf8',
        })
      assert.deepEqual([asking('evil.example.net'), asking(host)], ['403', '200'])
      const claimed = {
        'x-forwarded-host': 'evil.example.net',
        forwarded: 'host=evil.example.net',
        'x-forwarded-for': '1.2.3.4',
      }
      const authorization = `Bearer ${site.apiKey}`
      assert.equal((await site.fetch(threadsUrl, { headers: { ...claimed, authorization } })).status, 200)
      assert.equal((await site.fetch(threadsUrl)).status, 401)
    },
  )

  await t.test('both servers are restarted in turn, twice, and no app notices', async () => {
    mock.when(() => true, text('One, ', 'two.'))
    let over = false
    const runs: { thread: string; asked: string }[] = []
    const work = async (worker: number) => {
      for (let i = 0; !over; i++) {
        const asked = `Worker ${worker}, question ${i}`
        const body = { assistant_id, thread: { messages: [say(asked)] } }
        const headers = { 'idempotency-key': `${worker}-${i}` }
        const run = await threads.createAndRun(body, { headers })
        const ended = await threads.runs.poll(run.id, { thread_id: run.thread_id })
        assert.equal(ended.status, 'completed', ended.last_error?.message)
        runs.push({ thread: run.thread_id, asked })
      }
    }
    const workers = Promise.all([0, 1, 2, 3].map(work))
    for (const which of [0, 1, 0, 1] as const) {
      const before = runs.length
      await Promise.race([workers, until(() => runs.length > before, 'the apps go on')])
      await Promise.race([workers, site.restart(which)])
    }
    over = true
    await workers
    t.diagnostic(`${runs.length} runs`)
    for (const { thread, asked } of runs) {
      const told = (await threads.messages.list(thread, { order: 'asc' })).data.map(textOf)
      assert.deepEqual(told, [asked, 'One, two.'])
    }
  })
})

test('systemd takes the unit, and finds little that it exposes', () => {
  const unit = join(root, 'deploy/threadmill.service')
  const verify = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
  // The program is not installed here.
  const complaints = verify.stderr
    .split('\n')
    .filter((line) => line !== '' && !/is not executable/.test(line))
  assert.deepEqual(complaints, [])
  const security = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', unit], {
    encoding: 'utf8',
  })
  const [, level] =
    /Overall exposure level for \S+: ([\d.]+)/.exec(security.stdout) ?? assert.fail(security.stderr)
  assert.ok(Number(level) < 2, level)
})
