import type { Frame, Operation } from './clients.ts'
import type { Simulation } from './simulation.ts'
import type { Ledger } from './verdict.ts'

// I8: all who follow a run are told one history of it, whole and in order, wherever and however often they joined.

type Place = [term: number, no: number]

function placeOf({ id }: Frame): Place {
  const [term = 0, no = 0] = (id ?? '').split('.').map(Number)
  return [term, no]
}

const isBefore = (a: Place, b: Place) => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1])

const isDelta = ({ event }: Frame) => event.endsWith('.delta')

/** What of an event is the same for everybody: a client may change the metadata of a run at any time. */
const gist = ({ id, event, data }: Frame) =>
  JSON.stringify([id, event, data['id'], data['status'], data['delta'], data['content']])

export function judgeEvents(simulation: Simulation, ledger: Ledger): void {
  const { operations } = simulation.clients
  const streams = operations.filter(({ kind, status, frames }) => {
    return (kind === 'follow' || kind === 'stream_run') && status === 200 && frames.length > 0
  })
  for (const stream of streams) judgeOrder(simulation, stream)
  const histories = new Map<string, Operation>()
  for (const stream of streams.filter(({ last }) => last)) {
    const first = histories.get(stream.run ?? '')
    if (!first) {
      histories.set(stream.run ?? '', stream)
      judgeHistory(simulation, stream, ledger)
    } else if (first.frames.map(gist).join() !== stream.frames.map(gist).join())
      simulation.fail(`${first.n} and ${stream.n} were told different histories of ${stream.run}`)
  }
  for (const stream of streams) {
    const history = histories.get(stream.run ?? String(stream.frames[0]?.data['id']))
    if (history) judgeStream(simulation, stream, history)
  }
}

/** Places only grow. */
function judgeOrder(simulation: Simulation, { n, frames }: Operation): void {
  const placed = frames.filter(({ id }) => id !== null)
  for (const [i, frame] of placed.entries()) {
    const former = placed[i - 1]
    if (former && !isBefore(placeOf(former), placeOf(frame)))
      simulation.fail(`stream ${n} was told ${frame.id} behind ${former.id}`)
  }
}

/** A stream has all of the history up to where it broke off, and besides it only deltas that were lost with their owner. */
function judgeStream(simulation: Simulation, { n, frames }: Operation, history: Operation): void {
  const placed = frames.filter(({ id }) => id !== null)
  const [first, last] = [placed[0], placed.at(-1)]
  if (!first || !last) return
  const told = new Map(placed.map((frame) => [frame.id, frame]))
  const known = new Map(history.frames.map((frame) => [frame.id, frame]))
  for (const frame of history.frames) {
    if (
      frame.id === null ||
      isBefore(placeOf(frame), placeOf(first)) ||
      isBefore(placeOf(last), placeOf(frame))
    )
      continue
    const own = told.get(frame.id)
    if (!own) return simulation.fail(`stream ${n} was not told ${frame.id} ${frame.event}`)
    if (gist(own) !== gist(frame))
      simulation.fail(`stream ${n} was told another ${frame.id}: ${gist(own)} ${gist(frame)}`)
  }
  for (const frame of placed)
    if (!known.has(frame.id) && !isDelta(frame))
      simulation.fail(`stream ${n} was told ${frame.id} ${frame.event}, which the log does not have`)
}

/** The whole history of a run that has ended: one beginning, one end, each message opened, told and closed. */
function judgeHistory(simulation: Simulation, { n, run, frames }: Operation, { messages }: Ledger): void {
  const fail = (text: string) =>
    simulation.fail(`stream ${n} of ${run}: ${text}: ${frames.map((f) => `${f.id} ${f.event}`).join(', ')}`)
  const events = frames.filter(({ event }) => event !== 'done')
  if (events.filter(({ event }) => event === 'thread.run.created').length !== 1) fail('not begun once')
  const last = events.at(-1)?.event ?? ''
  if (!/^thread\.run\.(completed|failed|incomplete|cancelled|expired)$/.test(last)) fail('not ended')
  const texts = new Map<string, string>()
  const open = new Set<string>()
  for (const { event, data } of events) {
    const id = String(data['id'])
    if (event === 'thread.message.created') {
      open.add(id)
      texts.set(id, '')
    } else if (event === 'thread.message.delta') {
      if (!open.has(id)) fail(`a delta of ${id}, which is not open`)
      texts.set(id, (texts.get(id) ?? '') + textOf(data))
    } else if (event === 'thread.message.completed' || event === 'thread.message.incomplete') {
      if (!open.delete(id)) fail(`${id} was closed without being open`)
    }
  }
  if (open.size > 0) fail('a message was left open')
  for (const { id, status, text } of messages.filter(({ run_id }) => run_id === run)) {
    if (status === 'completed' && texts.get(id) !== (text ?? ''))
      fail(`the deltas of ${id} are "${texts.get(id)}" and its text is "${text}"`)
  }
}

function textOf(data: Record<string, unknown>): string {
  const { content } = data['delta'] as { content: { text: { value: string } }[] }
  return content.map(({ text }) => text.value).join('')
}
