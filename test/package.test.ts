import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './support/embedded-postgres.ts'

// What an install of the package brings along, as package-lock.json has it. test-system/packed-package.test.ts installs it.

interface Locked {
  dev?: boolean
  devOptional?: boolean
  link?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
}

const read = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8')) as Record<string, object>

test('what is installed for production is at most 100 packages on any system, 15 of them direct', () => {
  const packages = Object.entries(read('package-lock.json')['packages'] as Record<string, Locked>)
  const production = packages.filter(
    ([path, { dev, link }]) => path.includes('node_modules/') && dev !== true && link !== true,
  )
  assert.ok(production.length > 20 && production.length <= 100, String(production.length))
  const { dependencies, optionalDependencies } = read('package.json')
  const direct = [...Object.keys(dependencies ?? {}), ...Object.keys(optionalDependencies ?? {})]
  assert.ok(direct.length > 0 && direct.length <= 15, direct.join(', '))
})
