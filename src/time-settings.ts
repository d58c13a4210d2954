import { whole } from './setting.ts'

// How long this server waits for others, and how often a run may call its model.

const day = 86_400

const seconds = (name: string, otherwise: number, means: string) =>
  whole({ name, otherwise, least: 1, most: day, unit: 'seconds', means })

export const timeSettings = {
  headersTimeout: seconds('HEADERS_TIMEOUT', 60, 'Longest time for the headers of a request to arrive'),
  bodyTimeout: seconds(
    'BODY_TIMEOUT',
    300,
    'Longest time for the body of a request to arrive; for the form of an upload, longest silence in it',
  ),
  keepAliveTimeout: seconds(
    'KEEP_ALIVE_TIMEOUT',
    72,
    'Time after which an idle connection is closed; longer than a load balancer in front keeps one',
  ),
  modelConnectTimeout: seconds('MODEL_CONNECT_TIMEOUT', 10, 'Longest time to connect to the model endpoint'),
  modelFirstByteTimeout: seconds(
    'MODEL_FIRST_BYTE_TIMEOUT',
    300,
    'Longest time until a model begins to answer: a local one may read a long prompt for minutes',
  ),
  modelIdleTimeout: seconds('MODEL_IDLE_TIMEOUT', 120, 'Longest silence in an answer of a model'),
  maxTurns: whole({
    name: 'MAX_RUN_TURNS',
    otherwise: 200,
    least: 1,
    most: 1_000_000,
    means: 'Answers of the model in one run; a run that asks for tools once more fails',
  }),
}
