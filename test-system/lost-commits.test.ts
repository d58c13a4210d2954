import { test } from 'node:test'
import { appBehindProxy, loseAnswers } from '../test/support/lost-answers.ts'
import { startPgProxy } from '../test/support/pg-proxy.ts'
import { startServer } from '../test/support/server.ts'

// What test/lost-commits.test.ts does with 200, which takes a minute with 1,000.

test('1,000 lost answers among 64 clients lose nothing, double nothing and make no error', async () => {
  const server = await startServer({ tuning: { alone: false } })
  const proxy = await startPgProxy(server.db.url)
  await loseAnswers(server, await appBehindProxy(server, proxy), proxy, 1_000)
})
