// Goal: every requirement has a test. Method: read the titles, also those that come after the table of a `test.each`.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { REQUIREMENTS } from './requirements.js'

const folder = fileURLToPath(new URL('..', import.meta.url))
const titles = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts') && !path.includes('node_modules'))
  .flatMap((path) => [
    ...readFileSync(`${folder}/${path}`, 'utf8').matchAll(/(?:\btest(?:\.\w+)?|\]\))\(\s*'((?:[LE]\d\d ?)+)/g),
  ])
  .flatMap(([, ids]) => (ids as string).trim().split(' '))

test.each(Object.keys(REQUIREMENTS))('%s has a test', (id) => {
  expect(titles).toContain(id)
})

test('no test names a requirement that there is not', () => {
  expect(titles.filter((id) => !(id in REQUIREMENTS))).toEqual([])
})
