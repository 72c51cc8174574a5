/** Writes docs/reference: `npm run reference`. A test checks that what is committed is what this writes. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ERROR_CODES } from 'holdfast'
import { pagesOf } from './pages.js'
import { readSource } from './source.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'docs/reference')
const pages = pagesOf(readSource(root), ERROR_CODES)
mkdirSync(folder, { recursive: true })
for (const name of readdirSync(folder)) if (!pages.has(name)) rmSync(join(folder, name))
for (const [name, text] of pages) writeFileSync(join(folder, name), text)
console.error(`${pages.size} pages written to docs/reference`)
