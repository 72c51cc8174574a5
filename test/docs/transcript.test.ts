// Goal: the session on the command line that the page shows is what the commands print.
// Method: the script that writes the page runs the commands again, with times and IDs replaced.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { transcript } from '../../scripts/transcript/session.js'

test('the page of a session shows what its commands print', async () => {
  const page = readFileSync(new URL('../../docs/operations/transcript.md', import.meta.url), 'utf8')
  expect(await transcript(), 'Run `npm run transcript` and read its diff.').toBe(page)
}, 60_000)
