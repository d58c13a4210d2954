import { mostWaiting } from '../contract/thread-policy.ts'
import { errorKinds } from '../contract/errors.ts'
import { eventData } from '../contract/events.ts'

// The words of /openapi.json that no schema can say, in CommonMark.

const events = Object.keys(eventData).map((name) => `\`${name}\``)

/** Said of each operation that streams. */
export const streamText =
  'With `"stream": true` in the body the answer is a stream of events (`text/event-stream`) that ends with `done`; ' +
  'see "Streaming". What is refused before the first event is answered as JSON with its status.'

const errors = Object.entries(errorKinds).map(
  ([key, { status, type, code }]) =>
    `| \`${key}\` | ${status} | \`${type}\` | ${code === null ? 'null' : `\`${code}\``} |`,
)

/** What there is to know of the whole API. */
export const introduction = `
Threadmill serves the Assistants API - assistants, threads, messages, runs, run steps, files - from this machine and its
Postgres. This document is made from the same schemas that validate the requests. No key is asked for, and any
\`Authorization\` header is accepted.

## Dialects

The API is spoken in two dialects, on the same records:

- **v2**, which the official SDKs speak: described here under \`/v1\`.
- **memgpt**, an older form with bare arrays as lists and errors as \`{"detail": ...}\`: described here under \`/memgpt/v1\`.

Both are served under \`/v1\`; the other mount is there because a document can describe a path only once. Which dialect
a request speaks is decided by the first of these that applies, and the answer says it in \`x-assistants-dialect\`:

1. The header \`x-assistants-dialect: openai\` (v2) or \`x-assistants-dialect: memgpt\`.
2. The server's setting \`ASSISTANTS_DIALECT\`, unless it is \`auto\`, the default.
3. The mount: \`/memgpt\` is memgpt; \`/openai\` and \`/openai/v1\`, which clients of Azure call, are v2.
4. v2 for a header \`OpenAI-Beta: assistants=v2\`, any header \`x-stainless-...\`, a header \`api-key\` or a query \`api-version\`.
5. memgpt for the paths of runs (\`/v1/threads/{thread_id}/runs\`, \`/v1/threads/runs\` and what is below them).
6. memgpt for the paths of assistants and threads, if the user agent begins with \`OpenAPI-Generator/\` or the host is
   \`memgpt.localhost\`.
7. v2 for all else. What has no form in memgpt is always answered in v2.

So curl has to send \`OpenAI-Beta: assistants=v2\` to see a run in v2.

## Requests

Bodies are JSON in UTF-8, 32 MiB at most. A body that is empty counts as \`{}\`. In v2, keys that an operation does not know
are refused with \`unknown_parameter\`, unless the server is set to \`UNKNOWN_PARAMETERS=ignore\`; unknown parameters of a
query are left alone. Texts are counted in Unicode code points. Times are Unix seconds.

Metadata has at most 16 pairs. In a change, keys that are not sent stay, and a key that is set to \`""\` or null is removed.

## Lists

A list is sorted by creation, the newest first unless \`order=asc\`. \`after\` and \`before\` are ids of items: \`after\` gives
what follows the item in the order asked for, \`before\` the page that ends just before it, both what lies between.
\`has_more\` says whether there is more in that direction.

## Threads that are held

While a run holds a thread - it is \`queued\`, \`in_progress\`, \`requires_action\` or \`cancelling\` - what becomes of a run or a message that
comes to it is said by the header \`x-thread-policy\` of the request, else by the thread's own policy, else by the server's setting
\`THREAD_POLICY\`:

- \`reject\`: it is refused. This is the default.
- \`queue\`: it waits, in the order in which it came. A run that waits is \`queued\`, its \`expires_at\` is null, and its time begins when
  it gets the thread. A message that waits is in no list until it has its place behind the run before it.
- \`replace\`: the run that holds the thread is cancelled, and it comes next, before all that wait.

At most ${mostWaiting} runs and messages wait for a thread; what comes then is refused with \`thread_queue_full\`. A run that is
cancelled while it waits ends at once; the messages that came with it stay. Creating or modifying a thread with the header sets
the thread's policy. A message cannot be deleted while a run holds the thread, whatever the policy.

## Streaming

A stream is \`event:\` and \`data:\` lines, and \`: ping\` after 15 seconds of silence. Each event carries the whole object as it is at that
moment, except for the deltas, whose texts are to be appended. A stream ends when the run has ended or waits for tool
outputs, with \`event: done\` and \`data: [DONE]\`. A client that leaves does not stop its run.

The events: ${events.join(', ')}, \`done\`.

## Polling

\`openai-poll-after-ms\` says after how many milliseconds to ask again for a run that has not ended. A request with the
header \`x-stainless-poll-helper: true\`, as the SDKs' \`createAndPoll\` sends it, is held until the run has ended or waits for tool outputs,
for 5 seconds at most. Any other is answered at once, save that one which comes while the run's end is being stored is answered when
that is done.

## Retries

Send a POST with a header \`Idempotency-Key\`, a name of its own for each request such as a UUID, and it can be sent again: for 24
hours the same request with the same key is not done a second time, but given the first answer, with
\`idempotent-replayed: true\`; a stream begins with its first event again. While the first is under way, the second waits for it. Another
request with the key is refused. Answers 429 and 5xx are not kept: after them the request may be sent again with its key, also if the
outcome was unknown.

## Tools that are not run

\`file_search\` and \`code_interpreter\` are accepted and kept, but not run. A run goes on without them, and the header
\`x-tools-not-run\` names them. A run that cannot do without is refused with \`tool_not_available\`.

## Errors

In v2 an error is \`{"error": {"message", "type", "param", "code"}}\`. In memgpt it is \`{"detail": "..."}\`, and 422 with a list of
places for a request that does not fit its schema. The answers of each operation name the errors by the server's own
keys, which are not sent; \`docs/errors.md\` says of each when it comes and what to do. \`request_timeout\`,
\`headers_too_large\` and \`expectation_failed\` may come from any path. A request can be given a name in the log: each answer has an \`x-request-id\`.
`.trim()

/** All errors of v2. */
export const errorTable = ['| key | status | type | code |', '|---|---|---|---|', ...errors].join('\n')

/** The groups of operations, in the order of reading. */
export const tagTexts: readonly (readonly [string, string])[] = [
  ['Assistants', 'A model with instructions and tools. Runs copy its settings when they are created.'],
  ['Threads', 'A conversation. It holds messages, and one run at a time.'],
  ['Messages', 'What was said in a thread, by the user or by an assistant.'],
  ['Runs', 'One execution of an assistant on a thread. It holds the thread until it has ended.'],
  ['Run steps', 'What a run did: it wrote a message, or called tools.'],
  ['Files', 'Files to attach to messages, or to show to the model as images.'],
  [
    'Files of version 1',
    'For clients of the first version of the API alone, known by `OpenAI-Beta: assistants=v1` or an `api-version` before 2024-05-01.',
  ],
  ['Models', 'What the model endpoint offers.'],
  ['Administration', 'Projects and their keys, for whoever has the admin key of the server (`ADMIN_KEY`).'],
  ['Service', 'Pages for people, and health for machines.'],
]
