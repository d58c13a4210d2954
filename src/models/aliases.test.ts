import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseAliases, resolveAlias } from './aliases.ts'
import { ModelError, type Model, type ModelInfo, type ModelRequest } from './model.ts'
import { createModelRouter } from './router.ts'
import { contextWindow, parseWindows } from './windows.ts'

const signal = new AbortController().signal

describe('MODEL_ALIASES', () => {
  const aliases = parseAliases(' gpt-4o = llama3.2:3b ,gpt-4=qwen/qwen3, chain=gpt-4o,*=any=thing,')

  for (const [asked, served] of [
    ['gpt-4o', 'llama3.2:3b'],
    ['gpt-4', 'qwen/qwen3'],
    ['unknown', 'any=thing'],
    ['chain', 'gpt-4o'],
    ['demo', 'demo'],
    ['*', 'any=thing'],
  ] as const) {
    test(`${asked} is served by ${served}`, () => assert.equal(resolveAlias(aliases, asked), served))
  }

  test('without a match a model is asked for as it is', () => {
    assert.equal(resolveAlias(parseAliases('a=b'), 'gpt-4o'), 'gpt-4o')
    assert.equal(resolveAlias(parseAliases(''), '*'), '*')
  })

  test('an exact pair reaches the demo model', () => {
    assert.equal(resolveAlias(parseAliases('demo=llama'), 'demo'), 'llama')
  })

  for (const bad of ['gpt-4o', '=x', 'x=', 'a=b,c']) {
    test(`"${bad}" is refused by name`, () =>
      assert.throws(() => parseAliases(bad), /MODEL_ALIASES: ".*" is not a pair/))
  }
})

describe('the context window', () => {
  for (const [model, tokens] of [
    ['gpt-4o-mini', 128_000],
    ['gpt-4.1-nano', 1_047_576],
    ['gpt-4-turbo-preview', 128_000],
    ['gpt-4-0613', 8192],
    ['gpt-3.5-turbo-0125', 16_385],
    ['gpt-5-mini', 400_000],
    ['o3-mini', 200_000],
    ['anthropic/claude-sonnet-4', 200_000],
    ['meta-llama/Llama-3.1-8B-Instruct', 131_072],
    ['llama3.2:3b', 131_072],
    ['Qwen2.5-7B', 32_768],
    ['mistral', 32_768],
    ['demo', 128_000],
    ['my-own', 32_768],
    ['__proto__', 32_768],
  ] as const) {
    test(`${model} takes ${tokens}`, () => assert.equal(contextWindow(model), tokens))
  }

  test('MODEL_WINDOWS overrides, an exact name first', () => {
    const windows = parseWindows('gpt-4o=1000, *=2000')
    assert.equal(contextWindow('gpt-4o', windows), 1000)
    assert.equal(contextWindow('gpt-4o-mini', windows), 2000)
  })

  for (const bad of ['a=', 'a=many', 'a=1.5', 'a=0', 'a=-1', 'a=1e400']) {
    test(`"${bad}" is refused`, () => assert.throws(() => parseWindows(bad), /MODEL_WINDOWS/))
  }
})

describe('the router', () => {
  const hi: ModelRequest = { model: 'gpt-4o', messages: [] }
  const model = (description: string, ids: string[] | ModelError): Model & { asked: string[] } => {
    const asked: string[] = []
    return {
      description,
      asked,
      async complete(request) {
        asked.push(request.model)
        return { finish: 'stop', usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }
      },
      async list() {
        if (ids instanceof ModelError) throw ids
        return ids.map((id): ModelInfo => ({ id, object: 'model', created: 0, owned_by: description }))
      },
    }
  }
  const names = async (router: Model) =>
    (await router.list(signal)).map(({ id, owned_by }) => `${id} of ${owned_by}`)

  test('sends demo to the demo model and the rest to the backend', async () => {
    const [backend, demo] = [model('backend', ['x', 'demo']), model('demo', ['demo'])]
    const router = createModelRouter({ backend, demo, aliases: parseAliases('*=llama,gpt-4=demo') })
    for (const asked of ['gpt-4o', 'demo', 'gpt-4'])
      await router.complete({ ...hi, model: asked }, () => {}, signal)
    assert.deepEqual(backend.asked, ['llama'])
    assert.deepEqual(demo.asked, ['demo', 'demo'])
    assert.deepEqual(await names(router), ['x of backend', 'demo of demo'])
    assert.equal(router.description, 'backend (aliases: * -> llama, gpt-4 -> demo)')
  })

  test('sends all to the demo model when nothing else is configured', async () => {
    const demo = model('demo', ['demo'])
    const router = createModelRouter({ demo, aliases: new Map() })
    await router.complete(hi, () => {}, signal)
    assert.deepEqual(demo.asked, ['gpt-4o'])
    assert.deepEqual(await names(router), ['demo of demo'])
    assert.equal(router.description, 'demo')
  })

  test('has no list when the backend has none', async () => {
    const fault = new ModelError('server_error', 'down')
    const router = createModelRouter({
      backend: model('b', fault),
      demo: model('demo', ['demo']),
      aliases: new Map(),
    })
    await assert.rejects(router.list(signal), fault)
  })
})
