import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAiAssistantsApi, * as exported from '../../client/src/index.ts'
import { toolCall, wireRun, wireStep } from './stub-server.ts'

// The model classes of memgpt-dialect.md §6, without a server.

interface AnyModel {
  name: string
  new (...args: unknown[]): Record<string, unknown>
  RequiredProperties: string[]
  initialize(obj: object, ...args: unknown[]): void
  constructFromObject(data: unknown, obj?: object): Record<string, unknown>
  validateJSON(data: unknown): true
}

const api = OpenAiAssistantsApi
const entries = Object.entries(api) as unknown as [string, AnyModel][]
const models = entries.filter(([, value]) => 'constructFromObject' in value && value.name !== 'ApiClient')

/** Constructor arguments as the original has them, by their wire names. */
const constructors: Record<string, string> = {
  OpenAIRun: 'id created_at thread_id assistant_id status expires_at model instructions',
  OpenAIRunStep: 'id created_at assistant_id thread_id run_id type status step_defaults',
  CreateRunRequest: 'assistant_id instructions',
  CreateThreadRunRequest: 'assistant_id thread model instructions',
  ModifyRunRequest: '',
  SubmitToolOutputsToRunRequest: 'tools_outputs',
  RequiredAction: 'submit_tool_outputs',
  ToolCallOutput: 'tool_call_id output',
  OpenAIUsage: 'completion_tokens prompt_tokens total_tokens',
  OpenAIError: 'code message',
  MemgptSchemasOpenaiOpenaiToolCall: 'id function',
  Function: 'name arguments',
  HTTPValidationError: '',
  ValidationError: 'loc msg type',
  OpenAIToolCallsStep: 'tool_calls',
  OpenAIMessageCreationStep: 'message_id',
  OpenAIThread: 'id created_at',
  OpenAIAssistant: 'id name created_at model instructions',
  AssistantFile: 'id created_at assistant_id',
  CreateAssistantRequest: 'model name instructions',
  CreateAssistantFileRequest: 'file_id',
  DeleteAssistantFileResponse: 'id deleted',
  DeleteAssistantResponse: 'id deleted',
  DeleteThreadResponse: 'id deleted',
  CreateThreadRequest: '',
  ModifyThreadRequest: '',
  CreateMessageRequest: 'role content',
  ModifyMessageRequest: '',
  OpenAIMessage: 'id created_at thread_id role assistant_id',
  Text: 'text',
  ImageFile: 'file_id',
  MessageFile: 'id created_at message_id',
  ListMessagesResponse: 'messages',
}
const unions = ['StepDefaults', 'OpenAIMessageContentInner', 'ValidationErrorLocInner']

test('every model that the four Api classes use is exported under its name', () => {
  assert.deepEqual(
    models.map(([name]) => name).toSorted(),
    [...Object.keys(constructors), ...unions].toSorted(),
  )
  for (const [name, model] of models) assert.equal(model.name, name)
})

test('the default export holds what is exported singly', () => {
  const { default: all, ...single } = exported
  assert.deepEqual({ ...all }, { ...single })
})

test('constructors take the required fields in the order of the schema and set snake_case properties', () => {
  for (const [name, fields] of Object.entries(constructors)) {
    const order = fields.split(' ').filter(Boolean)
    const Model = models.find(([each]) => each === name)?.[1] ?? assert.fail(name)
    const made = new Model(...order.keys())
    assert.deepEqual({ ...made }, Object.fromEntries(order.map((field, at) => [field, at])), name)
    assert.deepEqual(Model.RequiredProperties, order, name)
    const initialized = {}
    Model.initialize(initialized, ...order.keys())
    assert.deepEqual(initialized, { ...made }, name)
  }
})

test('every model can be made without arguments, and is then empty JSON', () => {
  for (const [name, Model] of models) assert.equal(JSON.stringify(new Model()), '{}', name)
})

test('fixed values stand on the prototype: readable, and not in JSON', () => {
  const run = new api.OpenAIRun('run_1')
  assert.equal(run.object, 'thread.run')
  assert.equal(JSON.stringify(run), '{"id":"run_1"}')
  assert.equal(new api.RequiredAction([]).type, 'submit_tool_outputs')
  assert.equal(new api.MemgptSchemasOpenaiOpenaiToolCall().type, 'function')
  assert.equal(new api.OpenAIMessageCreationStep('msg_1').type, 'message_creation')
})

test('constructFromObject copies the keys it knows, and turns each into its type', () => {
  const run = api.OpenAIRun.constructFromObject({ ...wireRun, unknown: 1, created_at: '12' })
  assert.ok(run instanceof api.OpenAIRun)
  assert.equal('unknown' in run, false)
  assert.equal(run.created_at, 12)
  const [call] = run.required_action?.submit_tool_outputs ?? []
  assert.ok(run.required_action instanceof api.RequiredAction)
  assert.ok(call instanceof api.MemgptSchemasOpenaiOpenaiToolCall)
  assert.ok(call.function instanceof api.Function)
  assert.equal(call.function.arguments, '{"city":"Paris"}')
})

test('of what is missing, null or a null model, constructFromObject makes what the original makes', () => {
  const run = api.OpenAIRun.constructFromObject({ id: 'run_1', started_at: null, usage: null })
  // Required: there, and undefined. A null scalar: null. A null model: undefined. Optional: not there.
  assert.deepEqual([Object.hasOwn(run, 'status'), run.status], [true, undefined])
  assert.equal(run.started_at, null)
  assert.deepEqual([Object.hasOwn(run, 'usage'), run.usage], [true, undefined])
  assert.equal(Object.hasOwn(run, 'tools'), false)
  assert.equal(api.OpenAIRun.constructFromObject(null), undefined)
  const given = new api.OpenAIRun('old', 1)
  assert.equal(api.OpenAIRun.constructFromObject({ id: 'new' }, given), given)
  assert.deepEqual([given.id, given.created_at], ['new', 1])
})

test('the statics work without their class, as callbacks', async () => {
  const { constructFromObject, validateJSON } = api.OpenAIRun
  assert.ok(
    (await Promise.resolve(wireRun).then((data) => constructFromObject(data))) instanceof api.OpenAIRun,
  )
  assert.equal(validateJSON(wireRun), true)
})

test('the names of the documentation work beside those of the wire, and show in neither JSON nor keys', () => {
  const run = api.OpenAIRun.constructFromObject(wireRun)
  assert.deepEqual([run.createdAt, run.threadId, run.expiresAt], [1_700_000_000, 'thread_1', 1_700_000_600])
  assert.equal(run.requiredAction?.submitToolOutputs[0]?._function.name, 'get_weather')
  const { last_error: _, usage: __, ...sent } = wireRun
  assert.deepEqual(JSON.parse(JSON.stringify(run)), sent)
  assert.equal(Object.keys(run).includes('createdAt'), false)
  const request = new api.CreateRunRequest()
  request.assistantId = 'asst_1'
  request.additionalInstructions = 'More.'
  assert.deepEqual(
    { ...request },
    { assistant_id: 'asst_1', instructions: undefined, additional_instructions: 'More.' },
  )
  const seen: string[] = []
  for (const name in run) seen.push(name)
  assert.equal(seen.includes('threadId'), false)
})

test('validateJSON accepts what the server sends', () => {
  assert.equal(api.OpenAIRun.validateJSON(wireRun), true)
  assert.equal(api.OpenAIRunStep.validateJSON(wireStep), true)
  assert.equal(api.RequiredAction.validateJSON(wireRun.required_action), true)
})

test('validateJSON names the field that is missing, or has another type, in the words of the original', () => {
  const { id: _, ...rest } = wireRun
  const faults: [() => unknown, string][] = [
    [
      () => api.OpenAIRun.validateJSON(rest),
      'The required field `id` is not found in the JSON data: {"object"',
    ],
    [
      () => api.OpenAIRun.validateJSON({ ...wireRun, status: 7 }),
      'Expected the field `status` to be a primitive type in the JSON string but got 7',
    ],
    [
      () => api.OpenAIRun.validateJSON({ ...wireRun, tools: 'x' }),
      'Expected the field `tools` to be an array in the JSON data but got x',
    ],
    [
      () => api.OpenAIRun.validateJSON({ ...wireRun, usage: { total_tokens: 1 } }),
      'The required field `completion_tokens` is not found in the JSON data: {"total_tokens":1}',
    ],
    [
      () => api.RequiredAction.validateJSON({ submit_tool_outputs: [{ id: 'call_1' }] }),
      'The required field `function` is not found in the JSON data: {"id":"call_1"}',
    ],
    [
      () => api.OpenAIRun.validateJSON(null),
      'Expected the JSON data of OpenAIRun to be an object but got null',
    ],
  ]
  for (const [fault, message] of faults)
    assert.throws(fault, (error: Error) => error.message.startsWith(message), message)
})

test('original defect: validateJSON lets optional arrays be missing or null', () => {
  const { file_ids: _, ...rest } = wireRun
  assert.equal(api.OpenAIRun.validateJSON(rest), true)
  assert.equal(api.OpenAIRun.validateJSON({ ...wireRun, file_ids: null }), true)
  const assistant = { model: 'demo', name: 'a', instructions: '' }
  assert.equal(api.CreateAssistantRequest.validateJSON(assistant), true)
})

test('original defect: StepDefaults tells the form of a step by its type, then by its keys', () => {
  const { StepDefaults, OpenAIToolCallsStep, OpenAIMessageCreationStep } = api
  const calls = StepDefaults.constructFromObject({ type: 'tool_calls', tool_calls: [toolCall] })
  assert.ok(calls instanceof OpenAIToolCallsStep)
  assert.ok(calls.tool_calls[0] instanceof api.MemgptSchemasOpenaiOpenaiToolCall)
  const byKey = StepDefaults.constructFromObject({ message_id: 'msg_1' })
  assert.ok(byKey instanceof OpenAIMessageCreationStep)
  assert.equal(byKey.messageId, 'msg_1')
  // The type decides also where the keys of both forms are there.
  const both = { type: 'message_creation', message_id: 'msg_1', tool_calls: [] }
  assert.ok(StepDefaults.constructFromObject(both) instanceof OpenAIMessageCreationStep)
  assert.ok(
    StepDefaults.constructFromObject({ message_id: 'msg_1', tool_calls: [] }) instanceof OpenAIToolCallsStep,
  )
  assert.ok(calls instanceof StepDefaults && byKey instanceof StepDefaults)
  assert.equal(new api.OpenAIRun() instanceof StepDefaults, false)
  assert.ok(new StepDefaults({ message_id: 'msg_1' }) instanceof OpenAIMessageCreationStep)
  assert.equal(StepDefaults.constructFromObject(null), undefined)
  assert.equal(StepDefaults.validateJSON({ message_id: 'msg_1' }), true)
  assert.throws(() => StepDefaults.validateJSON({ type: 'tool_calls' }), /required field `tool_calls`/)
  assert.throws(() => StepDefaults.validateJSON({}), /JSON data of StepDefaults to have one of its forms/)
})

test('original defect: a step can be read at all', () => {
  const step = api.OpenAIRunStep.constructFromObject(wireStep)
  assert.ok(step.step_defaults instanceof api.OpenAIToolCallsStep)
  assert.equal(step.stepDefaults, step.step_defaults)
})

test('original defect: parts of messages can be read', () => {
  const message = api.OpenAIMessage.constructFromObject({
    id: 'msg_1',
    content: [
      { object: 'text', text: 'Hello' },
      { type: 'image_file', file_id: 'file_1' },
    ],
  })
  const [words, image] = message.content ?? []
  assert.ok(words instanceof api.Text && image instanceof api.ImageFile)
  assert.deepEqual([words.text, image.fileId], ['Hello', 'file_1'])
  assert.ok(words instanceof api.OpenAIMessageContentInner)
})

test('original defect: validation errors can be read', () => {
  const detail = [{ type: 'missing', loc: ['body', 'tools', 0, 'id'], msg: 'Field required', input: {} }]
  const error = api.HTTPValidationError.constructFromObject({ detail })
  assert.ok(error.detail?.[0] instanceof api.ValidationError)
  assert.deepEqual(error.detail[0].loc, ['body', 'tools', 0, 'id'])
  assert.equal(api.HTTPValidationError.validateJSON({ detail }), true)
  assert.throws(
    () => api.ValidationError.validateJSON({ loc: [{}], msg: '', type: '' }),
    /a string or a number/,
  )
  assert.equal(JSON.stringify([new api.ValidationErrorLocInner('body')]), '["body"]')
})
