import type { IncomingMessage } from 'node:http'
import type { MultipartFile, MultipartValue } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { ApiError } from '../contract/errors.ts'

// A form is read part by part, in the order in which the client sends them. Nothing is gathered: as long as nobody
// reads a file's content, the client cannot send on.

export type FormPart =
  | { kind: 'field'; name: string; value: string }
  | { kind: 'file'; name: string; filename: string; content: AsyncIterable<Buffer> }

/** Of a part that is no file. */
const maxFieldBytes = 1_024
/** More than any form has that this server knows. */
const maxParts = 16

/** For the plugin that reads forms; how long a file may be is for its reader to say. */
export const formLimits = {
  parts: maxParts,
  fieldSize: maxFieldBytes,
  fileSize: Infinity,
  headerPairs: 32,
  headerSize: 16 * 1_024,
}

/** The parts of the request's form. A file's content has to be read before the next part. Throws ApiError. */
export async function* formParts(request: FastifyRequest): AsyncGenerator<FormPart, void> {
  try {
    for await (const part of request.parts()) {
      // A part without a name has none here either, although the type says otherwise.
      const name = (part.fieldname as string | undefined) ?? ''
      yield part.type === 'file' ? filePart(name, part) : fieldPart(name, part)
    }
  } catch (error) {
    throw readError(error)
  }
}

function filePart(name: string, part: MultipartFile): FormPart {
  // Nor is there a filename when only the content type says that it is a file.
  const filename = (part.filename as string | undefined) ?? ''
  return {
    kind: 'file',
    name,
    // Browsers and SDKs escape these three in names (WHATWG, "multipart/form-data encoding algorithm").
    filename: filename.replaceAll('%22', '"').replaceAll(/%0d/gi, '\r').replaceAll(/%0a/gi, '\n'),
    content: readable(part.file),
  }
}

async function* readable(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  try {
    for await (const data of content) yield data
  } catch (error) {
    throw readError(error)
  }
}

function fieldPart(name: string, part: MultipartValue): FormPart {
  if (part.valueTruncated) {
    const text = `string too long. Expected a string with maximum length ${maxFieldBytes}.`
    throw new ApiError('string_too_long', `Invalid '${name.slice(0, 200)}': ${text}`, name)
  }
  // A part of type application/json comes as the value that it stands for.
  return {
    kind: 'field',
    name,
    value: typeof part.value === 'string' ? part.value : JSON.stringify(part.value),
  }
}

function readError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  const { code, message } = error as { code?: string; message?: string }
  const reason = code === 'FST_PARTS_LIMIT' ? `it has more than ${maxParts} parts` : (message ?? 'unknown')
  return new ApiError('malformed_form', `The multipart form could not be read: ${reason}.`)
}

/** Milliseconds that a client gets to read the answer to a request that it is still sending. */
const lingerMs = 5_000

/**
 * For a request that is answered before it has come whole. What the client still sends is thrown away, so that it
 * gets to read the answer (a connection that is closed at once loses it), and after a while the connection is closed.
 */
export function discardRest(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return
  request.unpipe()
  request.resume()
  const timer = setTimeout(() => request.socket.destroy(), lingerMs)
  request.once('end', () => clearTimeout(timer))
  request.once('close', () => clearTimeout(timer))
}
