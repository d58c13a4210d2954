import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imageType } from './image-type.ts'

const bytes = (...parts: (string | number)[]) =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.of(part))),
  )

test('an image is known by its first bytes', () => {
  assert.equal(imageType(bytes('\x89PNG\r\n\x1a\n', 'rest')), 'image/png')
  assert.equal(imageType(bytes(0xff, 0xd8, 0xff, 0xe0, 'JFIF')), 'image/jpeg')
  assert.equal(imageType(bytes('GIF87a')), 'image/gif')
  assert.equal(imageType(bytes('GIF89a', 0, 0)), 'image/gif')
  assert.equal(imageType(bytes('RIFF', 1, 2, 3, 4, 'WEBPVP8 ')), 'image/webp')
})

test('what only begins like an image is none', () => {
  const others = [
    '',
    '\x89PN',
    'GIF88a',
    'RIFF\x01\x02\x03\x04WAVE',
    'RIFF',
    '<svg/>',
    '%PDF-1.7',
    '\xff\xd8',
  ]
  for (const text of others) assert.equal(imageType(bytes(text)), null, text)
})
