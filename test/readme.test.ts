// Goal: the README says what is so: its table of errors, its links, its options, its two commands.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { checkOptions } from '../src/engine/options.js'
import { ERROR_CODES } from '../src/errors.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(`${root}README.md`, 'utf8')

const table = `| code | when, and what to do |\n|---|---|\n${Object.entries(ERROR_CODES)
  .map(([code, text]) => `| \`${code}\` | ${text} |`)
  .join('\n')}`

test('the table of errors is the one in the code', () => {
  const [, said] = /<!-- errors:begin -->\n([\s\S]*?)\n<!-- errors:end -->/.exec(readme) ?? []
  expect(said, 'Paste the table of ERROR_CODES (src/errors.ts) between the errors marks of README.md.').toBe(table)
})

test.each(['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'])('every link of %s leads somewhere', (name) => {
  const text = readFileSync(`${root}${name}`, 'utf8')
  const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => link as string)
  expect(links.filter((link) => !existsSync(`${root}${link}`))).toEqual([])
})

test('the two commands that do everything stand in it', () => {
  expect(readme).toContain('npm ci && npm run demo')
  expect(readme).toContain('npm ci && npm test')
})

test('every option of open, and its default, stands in it', () => {
  const defaults = checkOptions({ dir: 'x' })
  for (const option of [
    'dir',
    'tasks',
    'concurrency',
    'durability',
    'recover',
    'anchor',
    'acceptDamage',
    'clock',
    'logger',
    'limits',
  ] as const) {
    expect(readme).toContain(`\`${option}\``)
    if (option !== 'tasks') expect(defaults).toHaveProperty(option)
  }
  for (const shown of ["`'synced'`", "`'auto'`", "`'behind'`", "`'7d'`", '`100`', '`false`'])
    expect(readme).toContain(shown)
})
