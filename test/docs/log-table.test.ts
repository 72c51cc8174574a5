// Goal: docs/operations/log.md lists every line that the default logger writes, each with a test that provokes it.
// Method: read the sources, the table and the tests as text. Where the source has `${…}`, the table has `…`.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string) => readFileSync(`${ROOT}/${path}`, 'utf8')

interface Line {
  readonly level: string
  readonly message: string
}

const ROW = /^\| (\w+) \| (`+) ?(.*?) ?\2 \| `(test\/[^`]+)`: (.*) \|$/gm
const rows = [...read('docs/operations/log.md').matchAll(ROW)].map(([, level, , message, file, title]) => ({
  level: level as string,
  message: message as string,
  file: file as string,
  title: title as string,
}))

const CALL =
  /\blogger\??\.(warn|info|error)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`|([^\s]))/g
/** The calls whose line is not written as a literal, with an example of each. */
const COMPOSED: Record<string, readonly string[]> = {
  'engine/core/operator-log.ts': [
    'The store is open. No task was unfinished.',
    '1 task resumed, 1 parked: TASK_TYPE_UNKNOWN (gone)',
  ],
  'mcp/tools/mcp-core.ts': ['`createServer` returned a server without durable tasks: return `durable.attach(server)`'],
}

const composed: string[] = []
const lines: Line[] = readdirSync(`${ROOT}/src`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .flatMap((path) =>
    [...read(`src/${path}`).matchAll(CALL)].flatMap(([, level = '', single, double, template, other]): Line[] => {
      if (other !== undefined) {
        composed.push(path)
        return (COMPOSED[path] ?? []).map((message) => ({ level, message }))
      }
      const text = single ?? double ?? template ?? ''
      return [{ level, message: text.replace(/\$\{[^}]*\}/g, '…').replace(/\\(.)/g, '$1') }]
    }),
  )

/** True if the text has 15 characters in a row of the message. */
function mentions(text: string, message: string): boolean {
  for (let at = 0; at + 15 <= message.length; at++) if (text.includes(message.slice(at, at + 15))) return true
  return false
}

test('the scan finds the calls', () => {
  expect(lines.length).toBeGreaterThan(40)
  expect(composed, 'Write the line as a literal, or give an example in COMPOSED.').toEqual(Object.keys(COMPOSED))
})

test('every line has a row, and every row a line', () => {
  const key = ({ level, message }: Line) => `${level}: ${message}`
  const listed = rows.map(key)
  expect([...new Set(lines.map(key))].sort()).toEqual([...listed].sort())
})

test.each(rows)('the test of "$message" exists and names the line', ({ message, file, title }) => {
  const text = read(file)
  // A title of several cases has `%s` in the source too.
  expect(text.includes(`'${title}'`) || text.includes(`"${title}"`) || text.includes(`\`${title}\``), title).toBe(true)
  expect(mentions(text, message), `${file} does not look for this line`).toBe(true)
})
