import { gate, text } from './mock-model.ts'
import { readyToRun, textOf, type TestServer } from './server.ts'

// Threads that a run holds, and what comes to them meanwhile.

/** The options of a request under this policy. */
export const by = (policy: string) => ({ headers: { 'x-thread-policy': policy } })
export const queue = by('queue')
export const replace = by('replace')

/** A message of the user. */
export const say = (content: string) => ({ role: 'user', content }) as const

export interface HeldThread {
  assistant: string
  thread: string
  /** The run that holds it, in progress. */
  holder: string
  /** Lets it say `First.` and end. */
  letGo: () => void
}

/** What tests of such threads do with a server. */
export function queueing(server: TestServer) {
  const { client, mock } = server
  const { threads } = client.beta
  return {
    /** A thread with one message that a run holds; the model has been asked. */
    heldThread: async (): Promise<HeldThread> => {
      const ready = await readyToRun(server)
      mock.reset()
      const held = gate()
      mock.next(text(held.opened, 'First.'))
      const run = await threads.runs.create(ready.thread, { assistant_id: ready.assistant })
      await mock.received(0)
      return { ...ready, holder: run.id, letGo: held.open }
    },
    /** The run when it has stopped. */
    ended: (thread: string, run: { id: string }) => threads.runs.poll(run.id, { thread_id: thread }),
    statusOf: async (thread: string, id: string) =>
      (await threads.runs.retrieve(id, { thread_id: thread })).status,
    /** The ids of the thread's runs, the newest first. */
    runIds: async (thread: string) => (await threads.runs.list(thread)).data.map(({ id }) => id),
    /** The texts of the thread's messages, in order. */
    textsOf: async (thread: string) =>
      (await threads.messages.list(thread, { order: 'asc', limit: 100 })).data.map(textOf),
    /** What the model was shown in its nth request, system prompt aside. */
    shown: (n: number) =>
      (mock.requests[n]?.body.messages ?? [])
        .filter(({ role }) => role !== 'system')
        .map(({ content }) => content),
  }
}
