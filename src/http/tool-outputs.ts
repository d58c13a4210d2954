import { ApiError } from '../contract/errors.ts'
import type { SubmitToolOutputs } from '../contract/requests.ts'
import type { RunRecord, StepRecord } from '../domain/records.ts'

/**
 * The waiting steps with the submitted outputs in their calls. Throws ApiError unless the ids are those that the
 * run asks for, each once. A run that does not wait has no steps to answer: its status refuses the event.
 */
export function answeredOutputs(
  run: RunRecord,
  open: StepRecord[],
  outputs: SubmitToolOutputs['tool_outputs'],
  now: number,
  deadline: number,
): StepRecord[] {
  if (run.state.status !== 'requires_action') return []
  const expected = run.state.calls.map((call) => call.id)
  const got = outputs.map((output) => output.tool_call_id ?? '')
  if (!sameIds(expected, got)) {
    const text = `Expected tool outputs for call_ids ${pythonList(expected)}, got ${pythonList(got)}`
    throw new ApiError('outputs_do_not_match', text)
  }
  const byId = new Map(outputs.map((output) => [output.tool_call_id, output.output ?? '']))
  return open.flatMap((step) => {
    const { details } = step
    if (details.type !== 'tool_calls') return []
    const tool_calls = details.tool_calls.map((call) => ({
      ...call,
      function: { ...call.function, output: byId.get(call.id) ?? call.function.output },
    }))
    return [
      {
        ...step,
        status: 'completed' as const,
        details: { ...details, tool_calls },
        ended_at: now,
        expires_at: deadline,
      },
    ]
  })
}

/**
 * Whether these outputs, in whatever order, are those with which the run's latest calls were answered. `steps`: all of
 * the run's, in order.
 */
export function wereSubmitted(
  steps: readonly StepRecord[],
  outputs: SubmitToolOutputs['tool_outputs'],
): boolean {
  const asked = steps.filter(wasAsked)
  const latest = asked.filter(({ turn }) => turn === asked.at(-1)?.turn)
  const calls = latest.flatMap(({ details }) => (details.type === 'tool_calls' ? details.tool_calls : []))
  const given = new Map(outputs.map((output) => [output.tool_call_id, output.output ?? '']))
  return (
    calls.length > 0 &&
    latest.every(({ status }) => status === 'completed') &&
    outputs.length === calls.length &&
    calls.every((call) => given.get(call.id) === call.function.output)
  )
}

/** How many turns of a run have asked for outputs. `steps`: all of the run's, in order. */
export function turnsThatAsked(steps: readonly StepRecord[]): number {
  return new Set(steps.filter(wasAsked).map(({ turn }) => turn)).size
}

/** A step that failed belongs to a turn that was run again: its calls were never asked for. */
function wasAsked({ details, status }: StepRecord): boolean {
  return details.type === 'tool_calls' && status !== 'failed'
}

function sameIds(expected: string[], got: string[]): boolean {
  const given = new Set(got)
  return expected.length === got.length && expected.every((id) => given.has(id))
}

/** As the hosted API prints it: clients match on this text (wire.md §9). */
function pythonList(ids: string[]): string {
  return `[${ids.map((id) => `'${id}'`).join(', ')}]`
}
