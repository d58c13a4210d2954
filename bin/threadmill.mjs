#!/usr/bin/env node
// Plain JavaScript, so that an old Node gets a sentence instead of a syntax error.
import { existsSync } from 'node:fs'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(
    `Threadmill needs Node 22.19 or newer, and this is Node ${process.versions.node}.\n` +
      'In a clone, `npm start` brings its own Node: run `npm ci` (with install scripts allowed) and then `npm start`.',
  )
  process.exit(1)
}
// Node strips types everywhere but below node_modules, so a published package carries compiled files.
const compiled = new URL('../dist/main.js', import.meta.url)
const source = new URL('../src/main.ts', import.meta.url)
await import((existsSync(source) ? source : compiled).href)
