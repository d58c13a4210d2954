import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ApiError, notFound } from '../../contract/errors.ts'
import { isTerminal, type StreamEvent } from '../../contract/events.ts'
import type { RunObject } from '../../contract/objects.ts'
import { toList } from '../../contract/paging.ts'
import { CreateRun, CreateThreadAndRun, ModifyMetadata, SubmitToolOutputs } from '../../contract/requests.ts'
import { mergeMetadata } from '../../domain/metadata.ts'
import type { AssistantRecord, RunRecord, ThreadRecord } from '../../domain/records.ts'
import { toRun, toThread } from '../../domain/to-wire.ts'
import { getAssistant } from '../../store/assistants.ts'
import { applyRunEvent, type RunKey } from '../../store/run-writes.ts'
import { listRuns, updateRunMetadata } from '../../store/runs.ts'
import { getThread } from '../../store/threads.ts'
import { projectOf, type HttpContext } from '../context.ts'
import { newMessage, newRun, newThread } from '../new-records.ts'
import { pageQuery, pathId, type Query } from '../query.ts'
import { RunStream } from '../run-stream.ts'
import { answeredOutputs } from '../tool-outputs.ts'
import { validator } from '../validate.ts'
import { holdMs, waitForRun } from '../wait-for-run.ts'

const parseCreate = validator(CreateRun)
const parseThreadAndRun = validator(CreateThreadAndRun)
const parseModify = validator(ModifyMetadata)
const parseSubmit = validator(SubmitToolOutputs)

/** Milliseconds after which a client may poll again; most polls are held anyway. */
const pollAfterMs = '100'

interface InThread {
  Params: { thread_id: string }
}
interface OneRun {
  Params: { thread_id: string; run_id: string }
}

export function runRoutes(app: FastifyInstance, context: HttpContext): void {
  const { store } = context
  const threadOf = (params: InThread['Params']) => pathId('thread', 'thread_id', params.thread_id)
  const keyOf = (request: FastifyRequest<OneRun>): RunKey => ({
    project_id: projectOf(request),
    thread_id: threadOf(request.params),
    id: pathId('run', 'run_id', request.params.run_id),
  })

  app.post('/v1/threads/runs', (request, reply) => createThreadAndRun(context, request, reply))

  app.post<InThread>('/v1/threads/:thread_id/runs', (request, reply) =>
    createRun(context, threadOf(request.params), request, reply),
  )

  app.get<InThread & { Querystring: Query }>('/v1/threads/:thread_id/runs', async (request) => {
    const thread = threadOf(request.params)
    const project = projectOf(request)
    const { rows, hasMore } = await listRuns(store.pool, project, thread, pageQuery(request.query))
    if (rows.length === 0 && !(await getThread(store.pool, project, thread))) throw notFound('thread', thread)
    return toList(rows.map(toRun), hasMore)
  })

  app.get<OneRun>('/v1/threads/:thread_id/runs/:run_id', async (request, reply) => {
    const key = keyOf(request)
    const left = new AbortController()
    reply.raw.on('close', () => left.abort())
    const run = await waitForRun(context, key, holdMs(request.headers), left.signal)
    if (!run) throw notFound('run', key.id)
    return answerRun(reply, run)
  })

  app.post<OneRun>('/v1/threads/:thread_id/runs/:run_id', async (request, reply) => {
    const key = keyOf(request)
    const { metadata } = parseModify(request.body)
    const run = await updateRunMetadata(store.pool, key.project_id, key.thread_id, key.id, (old) =>
      mergeMetadata(old, metadata),
    )
    if (!run) throw notFound('run', key.id)
    return answerRun(reply, run)
  })

  app.post<OneRun>('/v1/threads/:thread_id/runs/:run_id/cancel', async (request, reply) =>
    answerRun(reply, await cancelRun(context, keyOf(request))),
  )

  app.post<OneRun>('/v1/threads/:thread_id/runs/:run_id/submit_tool_outputs', (request, reply) =>
    submitOutputs(context, keyOf(request), request, reply),
  )
}

function answerRun(reply: FastifyReply, run: RunRecord): RunObject {
  if (!isTerminal(run.state.status)) reply.header('openai-poll-after-ms', pollAfterMs)
  return toRun(run)
}

async function assistantFor(context: HttpContext, project: string, value: string): Promise<AssistantRecord> {
  const id = pathId('assistant', 'assistant_id', value)
  const assistant = await getAssistant(context.store.pool, project, id)
  if (!assistant) throw notFound('assistant', id)
  return assistant
}

async function createRun(
  context: HttpContext,
  thread: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<RunObject | undefined> {
  const { store, runTtl } = context
  const body = parseCreate(request.body)
  const project_id = projectOf(request)
  const assistant = await assistantFor(context, project_id, body.assistant_id)
  const now = store.clock.now()
  const run = newRun({ assistant, thread, now, ttl: runTtl, owner: ownerNow(context), body })
  const messages = (body.additional_messages ?? []).map((message) =>
    newMessage(project_id, thread, now, message),
  )
  const commit = async () => {
    const written = await store.write({
      kind: 'create_run',
      thread: { id: thread, project_id },
      messages,
      run,
    })
    if (written.outcome === 'gone') throw notFound('thread', thread)
    if (written.outcome === 'locked') {
      const text = `Thread ${thread} already has an active run ${written.runId}.`
      throw new ApiError('active_run_blocks_run', text)
    }
  }
  return begin(context, reply, run, body.stream === true, commit, [])
}

async function createThreadAndRun(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<RunObject | undefined> {
  const { store, runTtl } = context
  const body = parseThreadAndRun(request.body)
  const project = projectOf(request)
  const assistant = await assistantFor(context, project, body.assistant_id)
  const now = store.clock.now()
  const thread: ThreadRecord = newThread(project, now, body.thread ?? {})
  const run = newRun({ assistant, thread: thread.id, now, ttl: runTtl, owner: ownerNow(context), body })
  const messages = (body.thread?.messages ?? []).map((message) =>
    newMessage(project, thread.id, now, message),
  )
  const commit = async () => {
    await store.write({ kind: 'create_thread', thread, messages, run })
  }
  const created: StreamEvent = { event: 'thread.created', data: toThread(thread) }
  return begin(context, reply, run, body.stream === true, commit, [created])
}

/** The node that creates a run executes it if it has room; otherwise whoever claims it first does. */
function ownerNow({ store }: HttpContext): string | null {
  return store.hasRoom() ? store.node : null
}

/** Commits a new run and answers it, or the stream of its events that starts with `before`. */
async function begin(
  context: HttpContext,
  reply: FastifyReply,
  run: RunRecord,
  streamed: boolean,
  commit: () => Promise<void>,
  before: StreamEvent[],
): Promise<RunObject | undefined> {
  const { signals } = context.store
  if (!streamed) {
    await commit()
    signals.changed(run)
    return answerRun(reply, run)
  }
  const stream = await streaming(context, run, commit)
  const data = toRun(run)
  for (const event of before) stream.push(event)
  stream.push({ event: 'thread.run.created', data })
  stream.push({ event: 'thread.run.queued', data })
  stream.open(reply)
  signals.changed(run)
  return undefined
}

/** A stream that listens before `commit` and is forgotten if that fails. */
async function streaming(context: HttpContext, key: RunKey, commit: () => Promise<void>): Promise<RunStream> {
  const stream = new RunStream(context, key)
  try {
    await commit()
    return stream
  } catch (error) {
    stream.close()
    throw error
  }
}

async function cancelRun({ store }: HttpContext, key: RunKey): Promise<RunRecord> {
  const applied = await applyRunEvent(store, key, () => ({
    event: { type: 'cancel', now: store.clock.now() },
  }))
  if (applied.kind === 'gone') throw notFound('run', key.id)
  if (applied.kind !== 'applied') {
    const text = `Cannot cancel run with status '${applied.run.state.status}'.`
    throw new ApiError('run_not_cancellable', text)
  }
  return applied.run
}

async function submitOutputs(
  context: HttpContext,
  key: RunKey,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<RunObject | undefined> {
  const { store, runTtl } = context
  const body = parseSubmit(request.body)
  let queued: RunRecord | null = null
  const commit = async () => {
    const applied = await applyRunEvent(store, key, (run, open) => {
      const now = store.clock.now()
      const deadline = now + runTtl
      const steps = answeredOutputs(run, open.steps, body.tool_outputs, now, deadline)
      return { event: { type: 'submit_outputs', owner: ownerNow(context), now, deadline }, steps }
    })
    if (applied.kind === 'gone') throw notFound('run', key.id)
    if (applied.kind !== 'applied') throw wrongStatus(applied.run)
    queued = applied.run
  }
  if (body.stream === true) {
    const stream = await streaming(context, key, commit)
    stream.open(reply)
    return undefined
  }
  await commit()
  return queued === null ? undefined : answerRun(reply, queued)
}

function wrongStatus(run: RunRecord): ApiError {
  return new ApiError(
    'run_takes_no_outputs',
    `Runs in status "${run.state.status}" do not accept tool outputs.`,
  )
}
