import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'
import { mostOfLimit } from './limits.ts'
import { modelLimits, printable } from './model-endpoint.ts'
import { closed, Literals, Maybe, Nullable } from './schema.ts'

// What the admin API takes and answers: OpenAI's own shapes where it has them.

const Time = (what: string) => Nullable(Type.Integer({ description: what }))

/** What the id of a project may be: it stands in commands and logs. */
export const projectId = /^[a-z0-9][a-z0-9-]{0,62}$/

const nameLength = 256
/** What people call a project or a key. */
const Name = Type.String({ minLength: 1, maxLength: nameLength, pattern: printable.source })

/** Why this cannot be the name of a project or a key, or null. */
export function nameFault(name: string): string | null {
  if (Value.Check(Name, name)) return null
  return `must have 1 to ${nameLength} characters, and no control characters`
}

export const ProjectObject = Type.Object(
  {
    id: Type.String(),
    object: Literals('organization.project'),
    name: Type.String(),
    created_at: Type.Integer(),
    archived_at: Type.Null(),
    status: Literals('active'),
  },
  { title: 'Project' },
)
export type ProjectObject = Static<typeof ProjectObject>

const keyFields = {
  id: Type.String(),
  object: Literals('organization.project.api_key'),
  name: Type.String(),
  redacted_value: Type.String({ description: 'How it begins' }),
  created_at: Type.Integer(),
  expires_at: Time('Unix seconds; null: never'),
  revoked_at: Time('Unix seconds; null: it was not'),
  last_used_at: Time('Unix seconds, to the minute'),
}
export const ProjectKeyObject = Type.Object(keyFields, { title: 'ProjectApiKey' })
export type ProjectKeyObject = Static<typeof ProjectKeyObject>
export const NewProjectKeyObject = Type.Object(
  { ...keyFields, value: Type.String({ description: 'The key itself. It is shown this once' }) },
  { title: 'NewProjectApiKey' },
)

export const EndpointObject = Type.Object(
  {
    object: Literals('organization.project.model_endpoint'),
    base_url: Nullable(Type.String({ description: "Null: the server's own endpoint" })),
    has_api_key: Type.Boolean({ description: 'Whether it has a key of its own, which is never shown' }),
    models: Nullable(Type.Array(Type.String(), { description: 'Models that it may use; null: all' })),
  },
  { title: 'ModelEndpoint' },
)
export type EndpointObject = Static<typeof EndpointObject>

const bounds = {
  requests_per_minute: 'Requests a minute, on each server',
  concurrent_runs: 'Runs that have not ended, on all servers together',
  tokens_per_day: 'Tokens of models a day (UTC), on all servers together',
  body_bytes: "Bytes of a request's body, files aside",
  thread_messages: 'Messages of a thread, beyond which clients add none',
}
const Bound = (what: string) => Nullable(Type.Integer({ description: `${what}; null: no limit` }))
const Bounds = {
  requests_per_minute: Bound(bounds.requests_per_minute),
  concurrent_runs: Bound(bounds.concurrent_runs),
  tokens_per_day: Bound(bounds.tokens_per_day),
  body_bytes: Bound(bounds.body_bytes),
  thread_messages: Bound(bounds.thread_messages),
}
export const ProjectLimitsObject = Type.Object(
  { object: Literals('organization.project.limits'), ...Bounds },
  { title: 'ProjectLimits' },
)
export const KeyLimitsObject = Type.Object(
  { object: Literals('organization.project.api_key.limits'), ...Bounds },
  { title: 'ProjectApiKeyLimits' },
)
export const RetentionObject = Type.Object(
  {
    object: Literals('organization.project.thread_retention'),
    seconds: Nullable(
      Type.Integer({
        description:
          'Without activity, after which a thread is deleted; 0: never; null: as the server is set',
      }),
    ),
  },
  { title: 'ThreadRetention' },
)

const Seconds = Type.Integer({ minimum: 0, maximum: 3_153_600_000 })

export const CreateProject = Type.Object(
  {
    name: Name,
    id: Type.Optional(Type.String({ pattern: projectId.source, description: 'One is made without it' })),
  },
  { ...closed, title: 'CreateProject', examples: [{ name: 'The shop', id: 'shop' }] },
)
export const CreateKey = Type.Object(
  { name: Type.Optional(Name), expires_in_seconds: Maybe(Seconds) },
  { ...closed, title: 'CreateProjectApiKey', examples: [{ name: 'For the app' }] },
)
export const ModifyKey = Type.Object(
  { expires_in_seconds: Seconds },
  { ...closed, title: 'ModifyProjectApiKey', examples: [{ expires_in_seconds: 86_400 }] },
)
export const RotateKey = Type.Object(
  { grace_seconds: Type.Optional(Seconds) },
  { ...closed, title: 'RotateProjectApiKey', examples: [{ grace_seconds: 3_600 }] },
)
export const ModifyEndpoint = Type.Object(
  {
    base_url: Maybe(Type.String({ maxLength: 2_000 })),
    api_key: Maybe(Type.String({ minLength: 1, maxLength: 1_000 })),
    models: Maybe(
      Type.Array(Type.String({ minLength: 1, maxLength: modelLimits.name }), { maxItems: modelLimits.count }),
    ),
  },
  { ...closed, title: 'ModifyModelEndpoint', examples: [{ base_url: 'http://127.0.0.1:11434/v1' }] },
)

const NewBound = Maybe(Type.Integer({ minimum: 1, maximum: mostOfLimit }))
export const ModifyLimits = Type.Object(
  {
    requests_per_minute: NewBound,
    concurrent_runs: NewBound,
    tokens_per_day: NewBound,
    body_bytes: NewBound,
    thread_messages: NewBound,
  },
  { ...closed, title: 'ModifyLimits', examples: [{ tokens_per_day: 1_000_000, concurrent_runs: null }] },
)
export const ModifyRetention = Type.Object(
  { seconds: Nullable(Seconds) },
  { ...closed, title: 'ModifyThreadRetention', examples: [{ seconds: 7_776_000 }] },
)
