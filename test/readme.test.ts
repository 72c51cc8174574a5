// Goal: the README says what is so: its table of errors, its links, its options, its two commands.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { durationMs } from '../src/duration.js'
import { checkOptions } from '../src/engine/options.js'
import { ERROR_CODES } from '../src/errors.js'
import { defineTask } from '../src/task/definition.js'
import { retryPolicy } from '../src/task/retry-options.js'

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

test('every link of README.md within the page leads to a heading', () => {
  const headings = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  )
  const links = [...readme.matchAll(/\]\(#([^)]+)\)/g)].map(([, link]) => link)
  expect(links.length).toBeGreaterThan(0)
  expect(links.filter((link) => !headings.includes(link as string))).toEqual([])
})

test('every module that ARCHITECTURE.md lists is there', () => {
  const text = readFileSync(`${root}ARCHITECTURE.md`, 'utf8')
  const [, table = ''] = /\| about \| `task\/` decides \| `engine\/` does \|\n([\s\S]*?)\n\n/.exec(text) ?? []
  const rows = table.split('\n').slice(1)
  const missing = rows.flatMap((row) =>
    row
      .split('|')
      .slice(2, 4)
      .flatMap((cell, column) =>
        [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => `src/${['task', 'engine'][column]}/${name}`),
      )
      .filter((path) => !existsSync(`${root}${path}.ts`) && !existsSync(`${root}${path}`)),
  )
  expect(rows.length).toBeGreaterThan(10)
  expect(missing).toEqual([])
})

test('the two commands that do everything stand in it', () => {
  expect(readme).toContain('npm ci && npm run demo')
  expect(readme).toContain('npm ci && npm test')
})

const interfaces = {
  'src/engine/options.ts': ['OpenOptions'],
  'src/engine/limits.ts': ['Limits'],
  'src/task/definition.ts': ['TaskOptions'],
  'src/task/retry-options.ts': ['RetryOptions'],
  'src/task/step-options.ts': ['StepOptions'],
  'src/task/context.ts': ['WaitOptions', 'ChildOptions', 'SaveCheckpointOptions'],
  'src/task/isolated.ts': ['IsolatedOptions'],
  'src/engine/start-task.ts': ['StartOptions'],
}
const optionsOf = Object.entries(interfaces).flatMap(([file, names]) =>
  names.map((name) => [
    name,
    new RegExp(`interface ${name}\\b[^\\n]*\\{\\n([\\s\\S]*?)\\n\\}`).exec(source(file))?.[1] ?? '',
  ]),
)
function source(file: string): string {
  return readFileSync(`${root}${file}`, 'utf8')
}

test.each(optionsOf)('every option of %s stands in the tables of options', (_, text) => {
  const options = [...(text as string).matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, option]) => option as string)
  expect(options.length).toBeGreaterThan(0)
  const rows = readme
    .slice(readme.indexOf('## API'))
    .split('\n')
    .filter((line) => line.startsWith('|'))
  expect(options.filter((option) => !rows.some((row) => row.includes(`\`${option}\``)))).toEqual([])
})

test('the defaults that the tables name are those of the code', () => {
  const defaults = checkOptions({ dir: 'x' })
  const shown = (option: string) => new RegExp(`^\\| \\\`${option}\\\` \\| \\\`([^\`]*)\\\``, 'm').exec(readme)?.[1]
  for (const option of ['durability', 'recover', 'anchor'] as const) expect(shown(option)).toBe(`'${defaults[option]}'`)
  for (const option of ['concurrency', 'maximumRecoveries', 'acceptDamage'] as const)
    expect(shown(option)).toBe(String(defaults[option]))
  const ms = (option: string) => durationMs(shown(option)?.replaceAll("'", '') as string, option)
  expect(ms('priorityAgeing')).toBe(defaults.priorityAgeingMs)
  expect(ms('idempotencyRetention')).toBe(defaults.retentionMs)
  expect(ms('unloadAfter')).toBe(defaults.unloadAfterMs)
  expect(ms('suspectTime')).toBe(defaults.suspectTimeMs)
  const { maximumAttempts, initialMs, coefficient } = retryPolicy({})
  expect([shown('maximumAttempts'), ms('initialInterval'), shown('backoffCoefficient')]).toEqual([
    String(maximumAttempts),
    initialMs,
    String(coefficient),
  ])
  const { cleanUp } = defineTask({ name: 'x' }, () => {})
  expect(shown('cleanUp')).toBe("{ retry: { maximumAttempts: 5 }, timeout: '1m', grace: '5s' }")
  expect([cleanUp.retry.maximumAttempts, cleanUp.timeoutMs, cleanUp.graceMs]).toEqual([5, 60_000, 5_000])
  for (const [limit, value] of Object.entries(defaults.limits)) {
    const row = readme.split('\n').find((line) => line.startsWith('|') && line.includes(`\`${limit}\``))
    const said =
      value === 2 ** 20 ? '1 MiB' : value === Number.POSITIVE_INFINITY ? '`Infinity`' : value.toLocaleString('en')
    const isSame = ['liveTasksPerOwnerMax', 'queueLengthMax'].includes(limit)
    expect(row?.split('|')[2], limit).toContain(isSame ? '`liveTasksMax`' : said)
  }
})

test('it names the versions of Node in package.json, and so does the lock file', () => {
  const nodeOf = (name: string) => /"engines": \{\s*"node": "([^"]+)"/.exec(readFileSync(`${root}${name}`, 'utf8'))?.[1]
  const range = '^20.15 || >=22.2'
  expect([nodeOf('package.json'), nodeOf('package-lock.json')]).toEqual([range, range])
  expect(readme).toContain(`Node.js \`${range}\``)
})
