// Goal: docs/mcp/clients.md says what `npm run clients` has seen, of the clients that it installs.
// Method: the tables are made again from the record of the run, data/clients.json.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ROWS, versionOf } from './rows.js'
import { type ClientsRun, tablesOf } from './table.js'

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), 'utf8')
const record = JSON.parse(read('data/clients.json')) as ClientsRun

test('the tables are those of the recorded run', () => {
  expect(read('docs/mcp/clients.md')).toContain(tablesOf(record))
})

test('the run tried every client in the version that is installed, and each got as far as the kill', () => {
  const tried = record.rows.map(({ client, package: name, version, speaks }) => ({ client, name, version, speaks }))
  expect(tried).toEqual(
    ROWS.map(({ client, package: name, speaks }) => ({ client, name, version: versionOf(name), speaks })),
  )
  for (const { stdio, http } of record.rows) {
    expect(Object.keys(http)).toEqual(['0', '5', '10', '15'])
    for (const outcome of [stdio, ...Object.values(http)]) expect(outcome).toHaveProperty('kill')
  }
})

test('no call was lost: each was answered, or made again and answered', () => {
  for (const { client, stdio, http } of record.rows)
    for (const outcome of [stdio, ...Object.values(http)]) {
      if ('failed' in outcome) throw new Error(outcome.failed)
      const { pending, again } = outcome.kill
      const answered = pending && 'text' in pending ? pending : again
      expect([client, answered]).toEqual([client, { text: expect.stringContaining('kill') }])
    }
})

test("the SDKs' clients of 2025-11-25 were answered after 5, 10 and 15 s, as docs/mcp/2025-11-25.md says", () => {
  const seen = record.rows.flatMap(({ client, http }) => {
    const outcomes = Object.values(http).flatMap((outcome) => ('failed' in outcome ? [] : [outcome]))
    const isOfTheSdk = ['sdk', 'client'].includes(client) && outcomes[0]?.revision === '2025-11-25'
    return isOfTheSdk ? [outcomes.map(({ kill }) => kill.pending)] : []
  })
  const answered = { text: '{"worked":"kill"}' }
  expect(seen).toEqual([Array(4).fill(answered), Array(4).fill(answered)])
})
