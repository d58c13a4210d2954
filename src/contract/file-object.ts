import { Type, type Static } from 'typebox'
import { Literals, Seconds } from './schema.ts'

// Uploaded files as this server shows them (wire.md §4 "Files").

/** What a file may be uploaded for. */
export const FilePurpose = Literals('assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals')
export type FilePurpose = Static<typeof FilePurpose>

/** A key without a value is left out, not null: the published schema has no null here. */
export const FileObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('file'),
    bytes: Type.Integer(),
    created_at: Seconds,
    expires_at: Type.Optional(Type.Integer({ description: 'Unix seconds; left out if it never expires' })),
    filename: Type.String(),
    purpose: FilePurpose,
    status: Literals('uploaded', 'processed', 'error'),
    status_details: Type.Optional(Type.String()),
  },
  { title: 'File' },
)
export type FileObject = Static<typeof FileObject>

/** A file as its assistant shows it, in the first version of the API and in the memgpt dialect. */
export const AssistantFile = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('assistant.file'),
    created_at: Seconds,
    assistant_id: Type.String(),
  },
  { title: 'AssistantFile' },
)
export type AssistantFile = Static<typeof AssistantFile>

/** A file as its message shows it, in the same two. */
export const MessageFile = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.message.file'),
    created_at: Seconds,
    message_id: Type.String(),
  },
  { title: 'MessageFile' },
)
export type MessageFile = Static<typeof MessageFile>
