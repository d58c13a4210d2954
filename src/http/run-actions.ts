import type { FastifyReply } from 'fastify'
import { ApiError, notFound } from '../contract/errors.ts'
import type { ThreadPolicy } from '../contract/thread-policy.ts'
import type { CreateMessage, CreateRun, CreateThreadAndRun, SubmitToolOutputs } from '../contract/requests.ts'
import type { Metadata } from '../contract/schema.ts'
import { creationBatch, logStart } from '../domain/event-log.ts'
import type { AssistantRecord, OpenItems, RunRecord, ThreadRecord } from '../domain/records.ts'
import { mergeMetadata, type MetadataChange } from '../domain/metadata.ts'
import { newRunState } from '../domain/run.ts'
import { getAssistant } from '../store/assistants.ts'
import { enterThread } from '../store/enter-thread.ts'
import { answeredTerm } from '../store/event-log.ts'
import { keepAnswerAlone, KeyTaken, type Keeping, type KeptAnswer } from '../store/idempotency.ts'
import { applyRunEvent, type ChangedRun, type RunKey } from '../store/run-writes.ts'
import { updateRunMetadata } from '../store/runs.ts'
import { stepsOfRun } from '../store/steps.ts'
import type { HttpContext } from './context.ts'
import {
  noStoreHeaders,
  notRunHeaders,
  refuseDemandedTools,
  tellNoStore,
  tellNotRun,
} from './hosted-tools.ts'
import type { Keep } from './idempotency.ts'
import { refuseMissingFiles } from './named-files.ts'
import { newMessage, newRun, newThread } from './new-records.ts'
import { rejoinPart } from './rejoin.ts'
import { checkId } from './route.ts'
import { checkRunLimits } from './run-limits.ts'
import type { Principal } from './principal.ts'
import { mostMessages, refuseLongThread, threadTooLong } from './size-limits.ts'
import { RunStream } from './run-stream.ts'
import { queueFull, policyHeaders, tellPolicy } from './thread-policy.ts'
import { checkResources, threadResources } from './tool-resources.ts'
import { answeredOutputs, turnsThatAsked, wereSubmitted } from './tool-outputs.ts'

// What clients do to runs, in either dialect.

/** A run that is about to be created. */
export interface PendingRun {
  /** As yet without an owner. */
  run: RunRecord
  /** The assistant's name. */
  agent: string | null
  /** The thread if it is made together with the run. */
  newThread: ThreadRecord | null
  /**
   * Writes the run, which may have an owner by now, and answers it as it was written: it may have to wait. Throws
   * ApiError when the thread is gone, or held by another run and the policy is not to wait. `early`: the run may be executed by then.
   */
  commit: (run: RunRecord, keeping: Keeping<RunRecord>, how?: { early: boolean }) => Promise<RunRecord>
  /** What the answer says of what will not be done, and of the thread's policy. */
  headers: Record<string, string>
  /** Says with the answer what will not be done. */
  tell: (reply: FastifyReply) => void
}

/** Makes a run on a thread. `policy` is what the request names. Throws ApiError for what cannot be run. */
export async function newRunOnThread(
  context: HttpContext,
  principal: Principal,
  thread: string,
  body: CreateRun,
  policy: ThreadPolicy | null,
): Promise<PendingRun> {
  const { store, runTtl, threadPolicy } = context
  const { project: project_id } = principal
  const assistant = await assistantFor(context, project_id, body.assistant_id)
  const now = store.clock.now()
  const run = newRun({ assistant, thread, now, ttl: runTtl, body })
  const bodies = body.additional_messages ?? []
  refuseForbiddenModel(context, run)
  await refuseDemandedTools(store.pool, run, bodies)
  await refuseMissingFiles(store.pool, project_id, { messages: bodies })
  const messages = bodies.map((message) => newMessage(project_id, thread, now, message))
  const commit: PendingRun['commit'] = async (run, keeping, { early } = { early: false }) => {
    const key = { id: thread, project_id }
    const written = await enterThread(
      store,
      { kind: 'create_run', thread: key, messages, run, early, mostMessages: mostMessages(principal) },
      (own) => policy ?? own ?? threadPolicy,
      (entering = run) => keeping(entering),
    )
    if (written.outcome === 'gone') throw notFound('thread', thread)
    if (written.outcome === 'locked') {
      const text = `Thread ${thread} already has an active run ${written.runId}.`
      throw new ApiError('active_run_blocks_run', text)
    }
    if (written.outcome === 'full') throw queueFull(thread)
    if (written.outcome === 'long') throw threadTooLong(principal, thread, addsTo(bodies))
    return written.run ?? run
  }
  const tell = (reply: FastifyReply) => tellNotRun(context, reply, run)
  return { run, agent: assistant.name, newThread: null, commit, headers: notRunHeaders(run), tell }
}

/** What makes a thread longer: a run that brings nothing adds no more than its answer. */
const addsTo = (bodies: readonly unknown[]) => (bodies.length > 0 ? 'additional_messages' : 'thread_id')

/** Makes a thread, with this policy, and a run on it. Throws ApiError for what cannot be run. */
export async function newThreadWithRun(
  context: HttpContext,
  principal: Principal,
  body: CreateThreadAndRun,
  policy: ThreadPolicy | null,
): Promise<PendingRun> {
  const { store, runTtl } = context
  const { project } = principal
  const assistant = await assistantFor(context, project, body.assistant_id)
  const now = store.clock.now()
  checkResources(body.thread?.tool_resources, 'thread.tool_resources')
  const tool_resources = threadResources(body.tool_resources, body.thread?.tool_resources)
  const thread = newThread(project, now, { ...body.thread, tool_resources }, policy)
  const run = newRun({ assistant, thread: thread.id, now, ttl: runTtl, body })
  const bodies: CreateMessage[] = body.thread?.messages ?? []
  refuseLongThread(principal, bodies, 'thread.messages')
  refuseForbiddenModel(context, run)
  await refuseDemandedTools(store.pool, run, bodies)
  await refuseMissingFiles(store.pool, project, { messages: bodies, resources: tool_resources })
  const messages = bodies.map((message) => newMessage(project, thread.id, now, message))
  const commit = async (run: RunRecord, keeping: Keeping<RunRecord>) => {
    await store.write({ kind: 'create_thread', thread, messages, run, kept: keeping(run) })
    return run
  }
  const headers = { ...policyHeaders(thread), ...noStoreHeaders(tool_resources), ...notRunHeaders(run) }
  const tell = (reply: FastifyReply) => {
    tellPolicy(reply, thread)
    tellNoStore(context, reply, tool_resources)
    tellNotRun(context, reply, run)
  }
  return { run, agent: assistant.name, newThread: thread, commit, headers, tell }
}

/** Throws ApiError for a model that the project may not use: for the project there is none of that name. */
function refuseForbiddenModel(context: HttpContext, { project_id, settings: { model } }: RunRecord): void {
  if (context.allowsModel(project_id, model)) return
  throw new ApiError('model_not_found', `The requested model '${model}' does not exist.`, 'model')
}

async function assistantFor(context: HttpContext, project: string, id: string): Promise<AssistantRecord> {
  checkId('assistant', 'assistant_id', id)
  const assistant = await getAssistant(context.store.pool, project, id)
  if (!assistant) throw notFound('assistant', id)
  return assistant
}

/**
 * The node that queues a run executes it if it has room; otherwise `owner` is null, and whoever claims it first does.
 * The place is kept until `work` is done: by then the run was announced, and the engine has it.
 */
async function withOwner<T>({ store }: HttpContext, work: (owner: string | null) => Promise<T>): Promise<T> {
  const places = store.room.take(1)
  try {
    return await work(places.count > 0 ? store.node : null)
  } finally {
    places.free()
  }
}

/** Says which request a run is of: what follows is logged by the run. */
function logCreated({ log }: HttpContext, { request }: FastifyReply, run: RunRecord): void {
  if (log.verbose) log.debug('a run was created', { request: request.id, run: run.id, thread: run.thread_id })
}

/** The run as it is to be written, with whose key it was made by, and what its request says of traces. */
function signed({ store }: HttpContext, { request }: FastifyReply, { run, agent }: PendingRun): RunRecord {
  const { key } = request.principal
  if (key === null && store.traces === null) return run
  const trace = store.traces?.settings(request.headers['traceparent']?.toString(), agent)
  return { ...run, settings: { ...run.settings, ...(key && { key }), ...(trace && { trace }) } }
}

const ownedBy = (run: RunRecord, owner: string | null): RunRecord => ({
  ...run,
  state: newRunState(owner, run.state.deadline),
})

/** Commits a run and announces it. */
export async function commitRun(
  context: HttpContext,
  reply: FastifyReply,
  pending: PendingRun,
  keeping: Keeping<RunRecord>,
): Promise<RunRecord> {
  if (reply.request.principal.limits.length > 0) await checkRunLimits(context, reply)
  const ready = signed(context, reply, pending)
  return withOwner(context, async (owner) => {
    const run = await pending.commit(ownedBy(ready, owner), keeping, { early: owner !== null })
    pending.tell(reply)
    logCreated(context, reply, run)
    context.store.signals.changed(run)
    return run
  })
}

/** Commits a run and turns the reply into the stream of its events. */
export async function streamRun(
  context: HttpContext,
  reply: FastifyReply,
  pending: PendingRun,
  keep: Keep,
): Promise<void> {
  const { newThread, commit, headers, tell } = pending
  const thread = newThread !== null
  const keeping = keep.stream(() => ({ term: logStart.term, waits: 0, thread }), headers)
  if (reply.request.principal.limits.length > 0) await checkRunLimits(context, reply)
  const ready = signed(context, reply, pending)
  return withOwner(context, async (owner) => {
    const key = ownedBy(ready, owner)
    const { stream, result: run } = await streaming(context, key, () => commit(key, keeping))
    tell(reply)
    logCreated(context, reply, run)
    stream.open(reply, run, { after: logStart, version: 0 })
    context.store.signals.publish(run.id, creationBatch(run, newThread))
    context.store.signals.changed(run)
  })
}

/** A stream that listens before `commit` and is forgotten if that fails. */
async function streaming<T>(
  context: HttpContext,
  key: RunKey,
  commit: () => Promise<T>,
): Promise<{ stream: RunStream; result: T }> {
  const stream = new RunStream(context, key)
  try {
    return { stream, result: await commit() }
  } catch (error) {
    stream.close()
    throw error
  }
}

/** Merges `metadata` into the run's; null if there is no such run. */
export async function changeRunMetadata(
  { store }: HttpContext,
  { project_id, thread_id, id }: RunKey,
  metadata: MetadataChange,
  keeping: Keeping<RunRecord>,
): Promise<RunRecord | null> {
  try {
    const change = (old: Metadata) => mergeMetadata(old, metadata)
    return await updateRunMetadata(store.pool, project_id, thread_id, id, change, keeping)
  } finally {
    store.recent.runs.forget(id)
  }
}

/** Cancels a run: at once if nobody works on it, else it becomes `cancelling`. Throws ApiError if it has ended. */
export async function cancelRun(
  { store }: HttpContext,
  key: RunKey,
  keeping: Keeping<ChangedRun>,
): Promise<ChangedRun> {
  const cancel = () => ({ event: { type: 'cancel', now: store.clock.now() } as const })
  const applied = await applyRunEvent(store, key, cancel, keeping)
  if (applied.kind === 'gone') throw notFound('run', key.id)
  if (applied.kind !== 'applied') {
    const text = `Cannot cancel run with status '${applied.run.state.status}'.`
    throw new ApiError('run_not_cancellable', text)
  }
  return applied
}

/**
 * Answers the tool calls that a run waits for. Throws ApiError unless the run asks for exactly these, or was answered with
 * these very outputs when it asked last.
 */
export async function submitOutputs(
  context: HttpContext,
  key: RunKey,
  outputs: SubmitToolOutputs['tool_outputs'],
  keeping: Keeping<ChangedRun>,
): Promise<ChangedRun> {
  const { repeated, run, steps } = await answerCalls(context, key, outputs, keeping)
  if (repeated) await keepRepeated(context, keeping({ run, steps }))
  return { run, steps }
}

/** As submitOutputs; `repeated` says that the run had these outputs before, and nothing was written. */
async function answerCalls(
  context: HttpContext,
  key: RunKey,
  outputs: SubmitToolOutputs['tool_outputs'],
  keeping: Keeping<ChangedRun>,
): Promise<ChangedRun & { repeated: boolean }> {
  const { store, runTtl } = context
  const applied = await withOwner(context, (owner) => {
    const submit = (run: RunRecord, open: OpenItems) => {
      const now = store.clock.now()
      const deadline = now + runTtl
      const steps = answeredOutputs(run, open.steps, outputs, now, deadline)
      return { event: { type: 'submit_outputs', owner, now, deadline } as const, steps }
    }
    return applyRunEvent(store, key, submit, keeping)
  })
  if (applied.kind === 'gone') throw notFound('run', key.id)
  const { run } = applied
  if (applied.kind === 'applied') return { run, steps: applied.steps, repeated: false }
  const steps = await stepsOfRun(store.pool, key.project_id, key.thread_id, key.id)
  if (wereSubmitted(steps, outputs)) return { run, steps, repeated: true }
  const text = `Runs in status "${run.state.status}" do not accept tool outputs.`
  throw new ApiError('run_takes_no_outputs', text)
}

/** Keeps the answer to a request that repeated another, and wrote nothing. */
async function keepRepeated({ store }: HttpContext, kept: KeptAnswer | null): Promise<void> {
  if (kept && !(await keepAnswerAlone(store.pool, kept))) throw new KeyTaken('another node was at it too')
}

/** Answers the tool calls and turns the reply into the stream of what follows. */
export async function streamOutputs(
  context: HttpContext,
  reply: FastifyReply,
  key: RunKey,
  outputs: SubmitToolOutputs['tool_outputs'],
  keep: Keep,
): Promise<void> {
  // The outputs make a version of the run, and so a term of its log: the answer begins there.
  const keepStream = keep.stream(({ state }) => ({ term: state.version, waits: state.turns }))
  const { stream, result } = await streaming(context, key, () =>
    answerCalls(context, key, outputs, ({ run }) => keepStream(run)),
  )
  const { run, repeated } = result
  if (repeated) {
    stream.close()
    return streamRepeated(context, reply, result, keep)
  }
  const { version } = run.state
  stream.open(reply, run, { after: { term: version, no: -1 }, version: version - 1 })
}

/** What followed when the run got these outputs for the first time. */
async function streamRepeated(
  context: HttpContext,
  reply: FastifyReply,
  { run, steps }: ChangedRun,
  keep: Keep,
): Promise<void> {
  const term = (await answeredTerm(context.store.pool, run)) ?? logStart.term
  const start = { term, waits: turnsThatAsked(steps) }
  await keepRepeated(context, keep.stream(() => start)(run))
  await rejoinPart(context, reply, run, start)
}
