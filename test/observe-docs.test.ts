import assert from 'node:assert/strict'
import { test } from 'node:test'
import { written } from '../scripts/write-docs.ts'
import { Metrics } from '../src/observe/metrics.ts'
import { watchProcess } from '../src/observe/process-metrics.ts'

test('every metric that docs/observe.md speaks of is there, with the labels that it is asked by', async () => {
  const { registry } = new Metrics()
  watchProcess(registry)()
  const known = new Map(registry.descriptions.map((metric) => [metric.name, metric]))
  const named = [
    ...(await written('docs/observe.md')).matchAll(/\b((?:threadmill|nodejs|process)_\w+)(?:\{([^}]*)\})?/g),
  ]
  assert.ok(named.length > 8)
  for (const [, name = '', asked = ''] of named) {
    const metric = known.get(name) ?? known.get(name.replace(/_(bucket|sum|count)$/, ''))
    assert.ok(metric, `there is no ${name}`)
    for (const [, label = ''] of asked.matchAll(/(\w+)=~?"/g))
      assert.ok(metric.labels.includes(label), `${name} has no ${label}`)
  }
})
