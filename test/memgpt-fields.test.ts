import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { TObject, TSchema } from 'typebox'
import { ApiError, errorKinds, type ErrorKey } from '../src/contract/errors.ts'
import { toMemgptError } from '../src/contract/memgpt-errors.ts'
import {
  OpenAIAssistant,
  OpenAIMessage,
  OpenAIRun,
  OpenAIRunStep,
  OpenAIThread,
} from '../src/contract/memgpt-objects.ts'
import {
  MemgptCreateAssistant,
  MemgptCreateMessage,
  MemgptCreateRun,
  MemgptCreateThread,
  MemgptCreateThreadRun,
  MemgptModify,
  MemgptPage,
  MemgptSubmit,
} from '../src/contract/memgpt-requests.ts'

// The schemas of the memgpt dialect say what memgpt-dialect.md §3 and §5 say: which fields there are, which are
// required, and how the client's models are called. Answers are judged by these schemas.

interface Fields {
  title: string
  required: string
  optional: string
}

const answers: [TObject, Fields][] = [
  [
    OpenAIRun,
    {
      title: 'OpenAIRun',
      required: 'id created_at thread_id assistant_id status expires_at model instructions',
      optional:
        'object required_action last_error started_at cancelled_at failed_at completed_at tools file_ids metadata usage',
    },
  ],
  [
    OpenAIRunStep,
    {
      title: 'OpenAIRunStep',
      required: 'id created_at assistant_id thread_id run_id type status step_defaults',
      optional: 'object last_error expired_at failed_at completed_at usage',
    },
  ],
  [OpenAIThread, { title: 'OpenAIThread', required: 'id created_at', optional: 'object metadata' }],
  [
    OpenAIMessage,
    {
      title: 'OpenAIMessage',
      required: 'id created_at thread_id role assistant_id',
      optional: 'object content run_id file_ids metadata',
    },
  ],
  [
    OpenAIAssistant,
    {
      title: 'OpenAIAssistant',
      required: 'id name created_at model instructions',
      optional: 'object description tools file_ids metadata',
    },
  ],
]

const words = (text: string) => text.split(' ').toSorted()
const fields = ({ properties }: TObject) => Object.entries(properties) as [string, TSchema][]
const isNullable = (schema: TSchema) => JSON.stringify(schema).includes('{"type":"null"}')

for (const [schema, { title, required, optional }] of answers) {
  test(`${title} has the fields of the contract, all of them always, and null only where it is optional`, () => {
    assert.equal((schema as { title?: string }).title, title)
    const names = fields(schema).map(([name]) => name)
    assert.deepEqual(names.toSorted(), words(`${required} ${optional}`))
    assert.deepEqual((schema.required ?? []).toSorted(), names.toSorted())
    const direct = fields(schema).filter(([, { anyOf }]: [string, TSchema & { anyOf?: TSchema[] }]) =>
      anyOf?.some(isNullable),
    )
    for (const [name] of direct) assert.ok(words(optional).includes(name), `${name} may be null`)
    assert.equal(isNullable(schema.properties['file_ids'] ?? {}), false)
  })
}

const requests: [TObject, Fields][] = [
  [
    MemgptCreateRun,
    {
      title: 'CreateRunRequest',
      required: 'assistant_id instructions',
      optional: 'model additional_instructions tools metadata',
    },
  ],
  [
    MemgptCreateThreadRun,
    {
      title: 'CreateThreadRunRequest',
      required: 'assistant_id thread model instructions',
      optional: 'tools metadata',
    },
  ],
  [MemgptModify, { title: 'ModifyRunRequest', required: '', optional: 'metadata' }],
  [
    // Of its two names for the outputs one is required, which http/memgpt-input.ts sees to.
    MemgptSubmit,
    { title: 'SubmitToolOutputsToRunRequest', required: '', optional: 'tools_outputs tool_outputs' },
  ],
  [
    MemgptCreateAssistant,
    {
      title: 'CreateAssistantRequest',
      required: 'model name instructions',
      optional: 'description tools file_ids metadata embedding_model',
    },
  ],
  [
    MemgptCreateThread,
    { title: 'CreateThreadRequest', required: '', optional: 'messages metadata assistant_name' },
  ],
  [
    MemgptCreateMessage,
    { title: 'CreateMessageRequest', required: 'role content', optional: 'file_ids metadata' },
  ],
  [MemgptPage, { title: '', required: '', optional: 'limit order after before' }],
]

for (const [schema, { title, required, optional }] of requests) {
  test(`${title || 'the query of a list'} has the fields of the contract, and lets other keys pass`, () => {
    assert.equal((schema as { title?: string }).title ?? '', title)
    const names = fields(schema).map(([name]) => name)
    assert.deepEqual(names.toSorted(), words(`${required} ${optional}`.trim()))
    const needed = (schema.required ?? []).filter((name) => !('default' in (schema.properties[name] ?? {})))
    assert.deepEqual(needed.toSorted(), required === '' ? [] : words(required))
    assert.equal('additionalProperties' in schema, false)
  })
}

test('docs/errors.md says what type each error of a schema has in the memgpt dialect', () => {
  const text = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| "(\w+)" \| ((?:`\w+`(?:, )?)+) \|$/gm)]
  const documented = rows.flatMap(([, type = '', keys = '']) =>
    [...keys.matchAll(/\w+/g)].map(([key]) => `${key} is ${type}`),
  )
  const actual = (Object.keys(errorKinds) as ErrorKey[]).flatMap((key) => {
    const { detail } = toMemgptError(new ApiError(key, ''), 'body', {}).body
    return typeof detail === 'string' ? [] : detail.map(({ type }) => `${key} is ${type}`)
  })
  assert.deepEqual(documented.toSorted(), actual.toSorted())
})
