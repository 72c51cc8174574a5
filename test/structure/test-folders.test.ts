// Goal: a test is found by its folder, is short enough to be read, and shares nothing but what test/helpers has.
// Method: read the tree of tests, and the imports of its files, as text; each failure says what to do instead.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const LINES_PER_FILE_MAX = 500
const root = fileURLToPath(new URL('../..', import.meta.url))

// Packages are installed below some folders.
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.m?[tj]s$/.test(path) && !/node_modules|\/installed\//.test(path))
  .map((path) => ({ path, text: readFileSync(join(root, 'test', path), 'utf8') }))
const foldersBelow = (folder: string) => [
  ...new Set(
    files
      .filter(({ path }) => path.startsWith(`${folder}/`))
      .map(({ path }) => dirname(path).slice(folder.length + 1))
      .filter((path) => path !== ''),
  ),
]

test('the scan finds the tests', () => {
  expect(files.filter(({ path }) => path.endsWith('.test.ts')).length).toBeGreaterThan(150)
})

test('every folder of tests has its place in ARCHITECTURE.md', () => {
  const [, paragraph = ''] =
    /^(`test\/`: [\s\S]*?)^`(?:bench|data)\/`/m.exec(readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')) ?? []
  const folders = [...new Set(files.map(({ path }) => path.split('/')[0] as string))]
  expect(folders.filter((folder) => !paragraph.includes(`\`${folder}`))).toEqual([])
})

test('test/unit has the folders of src', () => {
  const strange = foldersBelow('unit').filter((folder) => !existsSync(join(root, 'src', folder)))
  expect(strange, 'A test of one folder of src stands in the folder of the same name.').toEqual([])
})

test('test/behaviour has the names of pages', () => {
  const isPage = (name: string) =>
    ['guides', 'operations'].some((kind) => existsSync(join(root, 'docs', kind, `${name}.md`)))
  const strange = foldersBelow('behaviour').filter((folder) => !isPage(folder))
  expect(strange, 'A folder is named after a page of docs/guides or docs/operations.').toEqual([])
})

test('files of tests stay short enough to be read in one sitting', () => {
  const long = files
    .map(({ path, text }) => [`test/${path}`, text.split('\n').length - 1] as const)
    .filter(([, lines]) => lines > LINES_PER_FILE_MAX)
  expect(long, 'Split it by behaviour.').toEqual([])
})

test('what several test files use is in test/helpers', () => {
  const users = new Map<string, string[]>()
  for (const { path, text } of files.filter(({ path }) => path.endsWith('.test.ts'))) {
    const imported = [...text.matchAll(/\bfrom '(\.[^']+)'|\bimport\('(\.[^']+)'\)/g)].map(([, one, other]) =>
      normalize(join(dirname(path), (one ?? other) as string)).replace(/\.js$/, '.ts'),
    )
    for (const target of new Set(imported)) users.set(target, [...(users.get(target) ?? []), path])
  }
  // A folder with a `run.ts` is a program of its own, and its modules stay with it.
  const isProgram = (path: string) => files.some((file) => file.path === `${dirname(path)}/run.ts`)
  const wrong = [...users]
    .filter(([path, { length }]) => length > 1 && !path.startsWith('..') && !path.startsWith('helpers/'))
    .filter(([path, from]) => !isProgram(path) || from.some((one) => dirname(one) !== dirname(path)))
    .map(([path, from]) => `test/${path}: ${from.map((one) => basename(one)).join(', ')}`)
  expect(wrong).toEqual([])
})

test('one function counts turns of the event loop', () => {
  const counting =
    /\bfor \(let \w+ = 0; \w+ < (?:\d+|count); \w+\+\+\) await (?:turn\(\)|new Promise\(\(\w+\) => setImmediate\()/
  const copies = files
    .filter(({ path, text }) => path !== 'helpers/turns.ts' && counting.test(text))
    .map(({ path }) => path)
  expect(copies, 'To wait, call `untilIdle`. To act at every moment, call `turns` of test/helpers/turns.ts.').toEqual(
    [],
  )
})
