import type pg from 'pg'
import { ApiError, fileNotFound, notFound } from '../contract/errors.ts'
import type { AssistantFile, MessageFile } from '../contract/file-object.ts'
import { looksLikeId } from '../contract/ids.ts'
import type { PageQuery } from '../contract/paging.ts'
import type { AssistantRecord, FileRecord } from '../domain/records.ts'
import { getAssistant, updateAssistant } from '../store/assistants.ts'
import { getFile } from '../store/files.ts'
import { getMessage } from '../store/messages.ts'
import type { Keep } from './idempotency.ts'

// The files of assistants and messages, which the first version of the API and the memgpt dialect have as objects of their
// own. They are views: an assistant's files are those of its code interpreter, a message's are its attachments.

/** How many files an assistant may have. */
const maxFiles = 20

/** The files of an assistant that are still there. Throws ApiError if there is no such assistant. */
export async function assistantFiles(pool: pg.Pool, project: string, id: string): Promise<AssistantFile[]> {
  const files = await existing(pool, project, await idsOfAssistant(pool, project, id))
  return files.map((file) => asAssistantFile(id, file))
}

/** One file of an assistant. Throws ApiError if the assistant or the file is not there, or does not belong to it. */
export async function assistantFile(
  pool: pg.Pool,
  project: string,
  id: string,
  fileId: string,
): Promise<AssistantFile> {
  const ids = await idsOfAssistant(pool, project, id)
  return asAssistantFile(id, await existingAmong(pool, project, ids, fileId))
}

/** Gives an assistant a file; one that it has stays. Throws ApiError if either is not there or it has too many. */
export async function giveFile(
  pool: pg.Pool,
  project: string,
  id: string,
  fileId: string,
  keep: Keep,
): Promise<AssistantFile> {
  const file = await existingAmong(pool, project, [fileId], fileId)
  const show = () => asAssistantFile(id, file)
  const change = (old: AssistantRecord) => withFiles(old, [...new Set([...filesOf(old), fileId])])
  if (!(await updateAssistant(pool, project, id, change, keep.answer(show)))) throw notFound('assistant', id)
  return show()
}

/** Takes a file from an assistant. Throws ApiError if there is no such assistant, or the file is not among its files. */
export async function takeFile(pool: pg.Pool, project: string, id: string, fileId: string) {
  const change = (old: AssistantRecord) => {
    const files = filesOf(old)
    if (!files.includes(fileId)) throw fileNotFound(fileId)
    return withFiles(
      old,
      files.filter((file) => file !== fileId),
    )
  }
  if (!(await updateAssistant(pool, project, id, change))) throw notFound('assistant', id)
  return { id: fileId, object: 'assistant.file.deleted' as const, deleted: true }
}

/** A message by the thread that it is in. */
interface MessageKey {
  thread_id: string
  message_id: string
}

/** The files of a message that are still there. Throws ApiError if there is no such message. */
export async function messageFiles(pool: pg.Pool, project: string, key: MessageKey): Promise<MessageFile[]> {
  const files = await existing(pool, project, await idsOfMessage(pool, project, key))
  return files.map((file) => asMessageFile(key, file))
}

/** One file of a message. Throws ApiError if the message or the file is not there, or does not belong to it. */
export async function messageFile(
  pool: pg.Pool,
  project: string,
  key: MessageKey,
  fileId: string,
): Promise<MessageFile> {
  const ids = await idsOfMessage(pool, project, key)
  return asMessageFile(key, await existingAmong(pool, project, ids, fileId))
}

/** It has no time of its own: it shows the file's. */
function asAssistantFile(assistant_id: string, { id, created_at }: FileRecord): AssistantFile {
  return { id, object: 'assistant.file', created_at, assistant_id }
}

function asMessageFile({ message_id }: MessageKey, { id, created_at }: FileRecord): MessageFile {
  return { id, object: 'thread.message.file', created_at, message_id }
}

function filesOf(assistant: AssistantRecord): string[] {
  return assistant.tool_resources?.code_interpreter?.file_ids ?? []
}

function withFiles(assistant: AssistantRecord, file_ids: string[]): AssistantRecord {
  if (file_ids.length > maxFiles) {
    const text = `array too long. Expected an array with maximum length ${maxFiles}, but got an array with length ${file_ids.length} instead.`
    throw new ApiError('array_too_long', `Invalid 'file_ids': ${text}`, 'file_ids')
  }
  return { ...assistant, tool_resources: { ...assistant.tool_resources, code_interpreter: { file_ids } } }
}

async function idsOfAssistant(pool: pg.Pool, project: string, id: string): Promise<string[]> {
  const assistant = await getAssistant(pool, project, id)
  if (!assistant) throw notFound('assistant', id)
  return filesOf(assistant)
}

async function idsOfMessage(
  pool: pg.Pool,
  project: string,
  { thread_id, message_id }: MessageKey,
): Promise<string[]> {
  const message = await getMessage(pool, project, thread_id, message_id)
  if (!message) throw notFound('message', message_id)
  return message.attachments.map(({ file_id }) => file_id)
}

/** The file, if it is among `ids` and has not been deleted; throws ApiError if not. */
async function existingAmong(
  pool: pg.Pool,
  project: string,
  ids: string[],
  fileId: string,
): Promise<FileRecord> {
  const [file] = await existing(
    pool,
    project,
    ids.filter((id) => id === fileId),
  )
  if (!file) throw fileNotFound(fileId)
  return file
}

/** The files among `ids` that have not been deleted, in their order. */
async function existing(pool: pg.Pool, project: string, ids: string[]): Promise<FileRecord[]> {
  const known = [...new Set(ids)].filter((id) => looksLikeId('file', id))
  const files = await Promise.all(known.map((id) => getFile(pool, project, id)))
  return files.filter((file) => file !== null)
}

/** A page of a list that is short enough to be at hand, the oldest first. Throws ApiError for an unknown cursor. */
export function pageAmong<T extends { id: string }>(
  items: T[],
  { limit, order, after, before }: PageQuery,
): { rows: T[]; hasMore: boolean } {
  const ordered = order === 'asc' ? items : items.toReversed()
  const placeOf = (param: 'after' | 'before', id: string) => {
    const place = ordered.findIndex((item) => item.id === id)
    if (place >= 0) return place
    const text = `Invalid '${param}': no item with id '${id.slice(0, 200)}' is in this list.`
    throw new ApiError('unknown_cursor', text, param)
  }
  const from = after === undefined ? 0 : placeOf('after', after) + 1
  const to = before === undefined ? ordered.length : placeOf('before', before)
  const open = ordered.slice(from, to)
  // `before` alone asks for the page that is nearest to it (wire.md §3).
  const rows = before !== undefined && after === undefined ? open.slice(-limit) : open.slice(0, limit)
  return { rows, hasMore: open.length > limit }
}
