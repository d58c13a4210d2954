import type { FastifyRequest } from 'fastify'
import type pg from 'pg'
import { Type } from 'typebox'
import { ApiError } from '../contract/errors.ts'
import { FilePurpose } from '../contract/file-object.ts'
import { CreateFile, fileTtl } from '../contract/file-requests.ts'
import { newId } from '../contract/ids.ts'
import type { FileRecord } from '../domain/records.ts'
import { toFile } from '../domain/to-wire.ts'
import { reasonOf } from '../log.ts'
import { storeContent } from '../store/file-chunks.ts'
import { abandonUpload, beginUpload, finishUpload } from '../store/file-uploads.ts'
import { getFile } from '../store/files.ts'
import type { HttpContext } from './context.ts'
import type { Keep } from './idempotency.ts'
import { formParts } from './multipart.ts'
import type { UnknownKeys } from './unknown-keys.ts'
import { validator } from './validate.ts'

/** Characters of a file's name. */
const maxName = 255
/** What the other parts of a form may add to the length of the request. */
const formOverhead = 64 * 1_024

/** The fields of the form besides the file, and where their values go. */
const fields = ['purpose', 'expires_after[anchor]', 'expires_after[seconds]'] as const
type Field = (typeof fields)[number]

const parseForm = validator(CreateFile)
const parsePurpose = validator(Type.Object({ purpose: FilePurpose }))

/** A file whose content is stored, although it is not visible yet. */
interface Received {
  id: string
  filename: string
  bytes: number
}

/**
 * Reads the form of `POST /files` (wire.md §4) and stores its file piece by piece as it comes. Whatever it fails with,
 * nothing of the file is left to be seen. Throws ApiError.
 */
export async function receiveFile(
  context: HttpContext,
  project: string,
  request: FastifyRequest,
  keep: Keep,
): Promise<FileRecord> {
  const { pool } = context.store
  const given = new Map<Field, string>()
  let file: Received | null = null
  checkLength(request, context.maxFileBytes)
  try {
    for await (const part of formParts(request)) {
      if (part.kind === 'field') {
        takeField(given, part.name, part.value, context.unknownKeys)
        continue
      }
      file = { id: newId('file'), filename: checkedName(part, file), bytes: 0 }
      const content = keep.form ? keep.form.content(part.content) : part.content
      file.bytes = keep.form?.answered
        ? await passOver(content, context.maxFileBytes)
        : await receiveContent(context, project, file.id, content)
    }
    keep.form?.read({ file: file?.filename, ...Object.fromEntries(given) })
    return await finish(pool, project, given, file, keep)
  } catch (error) {
    if (file !== null) await leaveToSweep(context, project, file.id)
    throw error
  }
}

/** Reads a content that nothing is done with. */
async function passOver(content: AsyncIterable<Buffer>, maxFileBytes: number): Promise<number> {
  let bytes = 0
  for await (const data of content) {
    bytes += data.length
    if (bytes > maxFileBytes) throw tooLarge(maxFileBytes)
  }
  return bytes
}

async function receiveContent(
  { store, maxFileBytes }: HttpContext,
  project: string,
  id: string,
  content: AsyncIterable<Buffer>,
): Promise<number> {
  await beginUpload(store.pool, project, id)
  const bytes = await storeContent(store.pool, project, id, content, maxFileBytes)
  if (bytes === 'too_large') throw tooLarge(maxFileBytes)
  if (bytes === 'gone') throw swept(id)
  if (bytes === 0) throw new ApiError('invalid_value', "Invalid 'file': the file is empty.", 'file')
  return bytes
}

async function finish(
  pool: pg.Pool,
  project: string,
  given: ReadonlyMap<Field, string>,
  file: Received | null,
  keep: Keep,
): Promise<FileRecord> {
  if (file === null) throw new ApiError('missing_parameter', "Missing required parameter: 'file'.", 'file')
  const form = parseForm(formOf(given, file.filename))
  const whole = { ...file, project_id: project, purpose: form.purpose, ttl: fileTtl(form) }
  const keeping = keep.form && keep.answer(toFile)
  const record = await finishUpload(pool, whole, keeping).catch(async (error: unknown) => {
    // The answer may be lost and the file made all the same: nobody else has its id.
    // If it cannot be asked for either, the first error counts: it says that the outcome is unknown.
    const made = await getFile(pool, project, file.id).catch(() => null)
    if (made === null) throw error
    return made
  })
  if (record === null) throw swept(file.id)
  return record
}

/** The form as one value; the file is stood for by its name. */
function formOf(given: ReadonlyMap<Field, string>, filename: string): unknown {
  const anchor = given.get('expires_after[anchor]')
  const seconds = given.get('expires_after[seconds]')
  return {
    file: filename,
    ...(given.has('purpose') ? { purpose: given.get('purpose') } : {}),
    ...(anchor === undefined && seconds === undefined
      ? {}
      : {
          expires_after: {
            ...(anchor === undefined ? {} : { anchor }),
            ...(seconds === undefined
              ? {}
              : { seconds: /^-?\d{1,15}$/.test(seconds) ? Number(seconds) : seconds }),
          },
        }),
  }
}

function takeField(given: Map<Field, string>, name: string, value: string, unknown: UnknownKeys): void {
  const field = fields.find((one) => one === name)
  if (field === undefined) {
    if (name === 'file') throw wrongKind('file', 'a file with a filename', 'a string')
    if (unknown === 'ignore') return
    throw unknownField(name)
  }
  if (given.has(field)) throw twice(field)
  // What can be refused before the file is read, is.
  if (field === 'purpose') parsePurpose({ purpose: value })
  given.set(field, value)
}

/** The name of the form's file; throws for what cannot be its file, or the second one. */
function checkedName(part: { name: string; filename: string }, earlier: Received | null): string {
  if (part.name !== 'file') {
    if (fields.some((one) => one === part.name)) throw wrongKind(part.name, 'a string', 'a file')
    throw unknownField(part.name)
  }
  if (earlier !== null) throw twice('file')
  const { filename } = part
  if (filename === '') throw wrongKind('file', 'a file with a filename', 'one without')
  if (filename.includes('\0')) {
    throw new ApiError('invalid_value', "Invalid 'file': its filename contains the NUL character.", 'file')
  }
  const length = Array.from(filename).length
  if (length > maxName) {
    const text = `its filename is too long. Expected a string with maximum length ${maxName}, but got a string with length ${length} instead.`
    throw new ApiError('string_too_long', `Invalid 'file': ${text}`, 'file')
  }
  return filename
}

/** Refuses a form that says beforehand that its file is too large. */
function checkLength(request: FastifyRequest, maxFileBytes: number): void {
  const length = Number(request.headers['content-length'] ?? 0)
  if (length > maxFileBytes + formOverhead) throw tooLarge(maxFileBytes)
}

function tooLarge(maxFileBytes: number): ApiError {
  const text = `Invalid 'file': it is larger than the limit of ${maxFileBytes} bytes.`
  return new ApiError('file_too_large', text, 'file')
}

function unknownField(name: string): ApiError {
  const shown = name.slice(0, 200)
  return new ApiError('unknown_parameter', `Unknown parameter: '${shown}'.`, shown)
}

function twice(name: string): ApiError {
  return new ApiError('invalid_value', `Invalid '${name}': the form has more than one of it.`, name)
}

function wrongKind(name: string, expected: string, got: string): ApiError {
  const text = `Invalid type for '${name}': expected ${expected}, but got ${got} instead.`
  return new ApiError('invalid_type', text, name)
}

function swept(id: string): Error {
  return new Error(`the upload ${id} was removed while it came in`)
}

async function leaveToSweep({ store, log }: HttpContext, project: string, id: string): Promise<void> {
  await abandonUpload(store.pool, project, id).catch((error: unknown) =>
    // It is found by its silence.
    log.warn('a broken upload could not be given up', { file: id, reason: reasonOf(error) }),
  )
}
