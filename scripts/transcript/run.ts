/** Writes docs/operations/transcript.md: `npm run transcript`. A test checks that what is committed is what this writes. */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { transcript } from './session.js'

const page = fileURLToPath(new URL('../../docs/operations/transcript.md', import.meta.url))
writeFileSync(page, await transcript())
console.error('docs/operations/transcript.md is written')
