import { Readable } from 'node:stream'
import multipart from '@fastify/multipart'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { ApiError, fileNotFound } from '../../contract/errors.ts'
import { FileObject } from '../../contract/file-object.ts'
import { CreateFile, FileQuery } from '../../contract/file-requests.ts'
import { looksLikeId } from '../../contract/ids.ts'
import { Deleted } from '../../contract/objects.ts'
import { ListObject, toList } from '../../contract/paging.ts'
import type { FileRecord } from '../../domain/records.ts'
import { toFile } from '../../domain/to-wire.ts'
import { deleteFile, fileContent, getFile, listFiles } from '../../store/files.ts'
import { attachment } from '../attachment.ts'
import type { HttpContext } from '../context.ts'
import { discardRest, formLimits } from '../multipart.ts'
import { route } from '../route.ts'
import { receiveFile } from '../upload.ts'

const tag = 'Files'
const path = '/files/{file_id}'

/** Milliseconds without a byte in either direction after which a file's connection is cut off. */
const stalledMs = 60_000

export function fileRoutes(app: FastifyInstance, context: HttpContext): void {
  // This route reads forms and nothing else, all others anything else.
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _body, done) => done(null))
    await scope.register(multipart, { limits: formLimits })
    createRoute(scope, context)
  })
  listRoute(app, context)
  fileByIdRoutes(app, context)
}

function createRoute(app: FastifyInstance, context: HttpContext): void {
  route(
    app,
    {
      id: 'createFile',
      method: 'POST',
      path: '/files',
      tag,
      summary: 'Uploads a file.',
      form: CreateFile,
      answer: FileObject,
    },
    async ({ request, project, keep }) => {
      request.socket.setTimeout(stalledMs)
      try {
        if (!request.isMultipart()) throw noForm(request.headers['content-type'])
        return toFile(await receiveFile(context, project, request, keep))
      } catch (error) {
        discardRest(request.raw)
        throw error
      }
    },
  )
}

function noForm(type = 'none'): ApiError {
  const text = `Unsupported content type '${type.slice(0, 100)}': send the file as 'multipart/form-data'.`
  return new ApiError('unsupported_content_type', text)
}

function listRoute(app: FastifyInstance, { store }: HttpContext): void {
  route(
    app,
    {
      id: 'listFiles',
      method: 'GET',
      path: '/files',
      tag,
      summary: 'Lists files.',
      query: FileQuery,
      answer: ListObject(FileObject),
    },
    async ({ project, query: { purpose, ...page } }) => {
      const { rows, hasMore } = await listFiles(store.pool, project, purpose ?? null, page)
      return toList(rows.map(toFile), hasMore)
    },
  )
}

function fileByIdRoutes(app: FastifyInstance, { store: { pool }, log }: HttpContext): void {
  const find = async (project: string, id: string): Promise<FileRecord> => {
    const file = looksLikeId('file', id) ? await getFile(pool, project, id) : null
    if (file === null) throw fileNotFound(id)
    return file
  }

  route(
    app,
    { id: 'retrieveFile', method: 'GET', path, tag, summary: 'Retrieves a file.', answer: FileObject },
    async ({ project, params }) => toFile(await find(project, params.file_id)),
  )

  route(
    app,
    { id: 'deleteFile', method: 'DELETE', path, tag, summary: 'Deletes a file.', answer: Deleted('file') },
    async ({ project, params: { file_id: id } }) => {
      if (!looksLikeId('file', id) || !(await deleteFile(pool, project, id))) throw fileNotFound(id)
      return { id, object: 'file' as const, deleted: true }
    },
  )

  route(
    app,
    {
      id: 'downloadFile',
      method: 'GET',
      path: `${path}/content`,
      tag,
      summary: "Retrieves a file's content.",
      answer: Type.Unsafe<Readable>({ type: 'string', format: 'binary' }),
    },
    async ({ request, reply, project, params }) => {
      const file = await find(project, params.file_id)
      reply.headers({
        'content-type': 'application/octet-stream',
        'content-length': file.bytes,
        'content-disposition': attachment(file.filename),
        'x-content-type-options': 'nosniff',
      })
      request.socket.setTimeout(stalledMs)
      // A look at the headers reads nothing.
      const chunks = request.method === 'HEAD' ? [] : fileContent(pool, file)
      // Without a store of its own it reads the next piece when the socket has taken the last.
      const content = Readable.from(chunks, { objectMode: false, highWaterMark: 0 })
      content.on('error', ({ message }) =>
        log.warn('a download broke off', { file: file.id, reason: message }),
      )
      return content
    },
  )
}
