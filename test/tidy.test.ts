// Goal: the shape that ARCHITECTURE.md promises stays true, so that nobody has to remember it.
// Method: read every source file as text; each failure says what to do instead.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const SRC = fileURLToPath(new URL('../src', import.meta.url))

interface Source {
  /** Below src, with `/`. */
  readonly path: string
  readonly text: string
  /** What it imports: files below src by their path, packages by their name. */
  readonly imports: readonly string[]
}

const sources: Source[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.m?[tj]s$/.test(path))
  .map((path) => {
    const text = readFileSync(join(SRC, path), 'utf8')
    const imports = [
      ...text.matchAll(/(?:^|\n)(?:import|export)[^'"\n]*?(?:\{[^}]*\})?[^'"\n]*from '([^']+)'|import\('([^']+)'\)/g),
    ].map((match) => {
      const from = (match[1] ?? match[2]) as string
      return from.startsWith('.') ? normalize(join(dirname(path), from)).replace(/\.js$/, '.ts') : from
    })
    return { path, text, imports }
  })

const folderOf = (path: string) => (path.includes('/') ? (path.split('/')[0] as string) : 'leaf')

// leaf ◄ task ◄ store ◄ recovery ◄ engine ◄ mcp ◄ testing; each may import itself and what stands before it.
const ORDER = ['leaf', 'task', 'store', 'recovery', 'engine', 'mcp', 'testing']

test('folders import only what stands below them', () => {
  const wrong = sources
    .filter(({ path }) => path !== 'index.ts')
    .flatMap(({ path, imports }) =>
      imports
        .filter((target) => sources.some((source) => source.path === target))
        .filter((target) => ORDER.indexOf(folderOf(target)) > ORDER.indexOf(folderOf(path)))
        .map((target) => `src/${path} imports src/${target}`),
    )
  expect(wrong, `Dependencies point one way: ${ORDER.join(' ◄ ')}. Hand the thing in as an argument instead.`).toEqual(
    [],
  )
})

test('the order of the folders names every folder', () => {
  const folders = new Set(sources.map(({ path }) => folderOf(path)))
  expect(
    [...folders].filter((folder) => !ORDER.includes(folder)),
    'Put a new folder into ORDER, and into ARCHITECTURE.md.',
  ).toEqual([])
})

test('one place reaches the disk', () => {
  const places = sources.filter(({ text }) => /\.batch\(/.test(text)).map(({ path }) => path)
  expect(places, 'Write through `store.commit`: `.batch(` stands in src/store/commit.ts and nowhere else.').toEqual([
    'store/commit.ts',
  ])
})

test('only the store knows classic-level', () => {
  const places = sources.filter(({ imports }) => imports.includes('classic-level')).map(({ path }) => path)
  const others = places.filter((path) => !path.startsWith('store/'))
  expect(others, 'Ask src/store for what you need; classic-level is its business.').toEqual([])
})

test('only the binding of its revision knows an SDK of the protocol', () => {
  const wrong = sources
    .filter(({ imports }) => imports.some((from) => from.startsWith('@modelcontextprotocol/')))
    .filter(({ path }) => !path.startsWith('mcp/rev-'))
    .map(({ path }) => `src/${path}`)
  expect(wrong, 'What both revisions need knows no SDK; the rest belongs under src/mcp/rev-….').toEqual([])
})

test('the bindings of two revisions do not import each other', () => {
  const revision = (path: string) => /^mcp\/(rev-[^/]+)/.exec(path)?.[1]
  const wrong = sources.flatMap(({ path, imports }) =>
    imports
      .filter((target) => revision(target) !== undefined && revision(target) !== revision(path))
      .map((target) => `src/${path} imports src/${target}`),
  )
  expect(wrong, 'Move what both need to src/mcp/.').toEqual([])
})

test('the task folder is pure', () => {
  const banned =
    /\bDate\.now\(|\bnew Date\(\)|Math\.random\(|\bsetTimeout\(|\bsetImmediate\(|\bsetInterval\(|\bprocess\.|\bawait\b|\basync\b|console\./
  const allowed = new Set(['zod'])
  const wrong = sources
    .filter(({ path }) => path.startsWith('task/'))
    .flatMap(({ path, text, imports }) => {
      const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
      const effect = banned.exec(code)?.[0]
      const outside = imports.find(
        (from) => from.startsWith('node:') || (!from.includes('/') && !from.endsWith('.ts') && !allowed.has(from)),
      )
      return [effect, outside].filter((found) => found !== undefined).map((found) => `src/${path}: ${found}`)
    })
  expect(wrong, 'src/task decides and does nothing else: take time, IDs and values as arguments.').toEqual([])
})

test('time and randomness are handed in', () => {
  const allowed = new Set(['clock.ts', 'ids.ts'])
  const banned = /\bDate\.now\(|\bnew Date\(\)|Math\.random\(|randomBytes\(|randomUUID\(/
  const wrong = sources
    .filter(({ path, text }) => !allowed.has(path) && banned.test(text))
    .map(({ path }) => `src/${path}`)
  expect(wrong, 'Use the `Clock` and the `Ids` you are given: the engine runs under a simulated clock.').toEqual([])
})

test('nothing is written to standard output', () => {
  // The protocol of a stdio server writes its own messages there.
  const allowed = ['mcp/stdio/process-streams.ts']
  const wrong = sources
    .filter(({ path }) => !allowed.includes(path))
    .filter(({ text }) => /console\.(log|info|debug)\(|process\.stdout/.test(text))
    .map(({ path }) => `src/${path}`)
  expect(wrong, 'Standard output belongs to the protocol of a stdio server. Use the logger.').toEqual([])
})

test('imports have no cycles', () => {
  const graph = new Map(sources.map(({ path, text }) => [path, valueImports(path, text)]))
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, above: string[]) => {
    if (above.includes(path)) cycles.push([...above.slice(above.indexOf(path)), path].join(' → '))
    if (above.includes(path) || done.has(path)) return
    for (const target of graph.get(path) ?? []) visit(target, [...above, path])
    done.add(path)
  }
  for (const path of graph.keys()) visit(path, [])
  expect(cycles, 'Move what both need into a file of its own.').toEqual([])
})

// `import type` is gone when the code runs, so it makes no cycle.
function valueImports(path: string, text: string): string[] {
  return [...text.matchAll(/(?:^|\n)(?:import|export) (?!type )([^'"]*?)from '(\.[^']+)'/g)]
    .filter(([, names]) => !/^\{\s*(type \w+( as \w+)?,?\s*)+\}\s*$/.test(names as string))
    .map(([, , from]) => normalize(join(dirname(path), from as string)).replace(/\.js$/, '.ts'))
}

test('every file begins with what it owns', () => {
  const wrong = sources.filter(({ text }) => !text.startsWith('/**')).map(({ path }) => `src/${path}`)
  expect(wrong, 'Begin with a comment that says what the file owns, and the rules that make it safe.').toEqual([])
})

test('files stay short enough to be read in one sitting', () => {
  const long = sources
    .map(({ path, text }) => [relative('.', path), text.split('\n').length] as const)
    .filter(([, lines]) => lines > 350)
  expect(long, 'A file this long holds two ideas: give the second a file of its own.').toEqual([])
})

describe('the labels of rules', () => {
  const architecture = readFileSync(join(SRC, '../ARCHITECTURE.md'), 'utf8')
  // At the head of a file: ` * commit-3. A failed batch …`; in the architecture: `commit-3`.
  const defined = sources.flatMap(({ path, text }) =>
    [...text.slice(0, text.indexOf('*/')).matchAll(/^ \* ([a-z][a-z0-9-]*-\d+)\. /gm)].map(([, label]) => ({
      label: label as string,
      path,
    })),
  )

  test('stand for one rule each, and are named after what the rule is about', () => {
    const shared = defined.filter(
      ({ label }, index) =>
        !/^(commit|recovery|store)-/.test(label) && defined.findIndex((one) => one.label === label) < index,
    )
    expect(shared, 'Name the label after its file, so that it is unique.').toEqual([])
    const bare = sources.filter(({ text }) => /^ \* [A-Z]\d+\. /m.test(text)).map(({ path }) => path)
    expect(bare, 'Write `scheduler-1. …`, or a dash where nothing cites the rule.').toEqual([])
  })

  test('are where every citation of one leads', () => {
    const names = [
      ...new Set([...defined.map(({ label }) => label.replace(/-\d+$/, '')), 'commit', 'recovery', 'store']),
    ]
    const citation = new RegExp(`(?<![\\w-])(?:${names.join('|')})-\\d(?!\\d|\\. )`, 'g')
    const tests = fileURLToPath(new URL('.', import.meta.url))
    const texts = [
      ...sources.map(({ text }) => text),
      ...readdirSync(tests, { recursive: true, encoding: 'utf8' })
        .filter((path) => /\.m?ts$/.test(path) && !path.includes('installed') && !path.includes('tidy'))
        .map((path) => readFileSync(join(tests, path), 'utf8')),
    ]
    const cited = new Set(
      texts
        .flatMap((text) => [...text.matchAll(/\/\*[\s\S]*?\*\/|\/\/.*|\([a-z-]+-\d.*/g)])
        .flatMap(([comment]) => comment.match(citation) ?? []),
    )
    const rules = new Set([
      ...defined.map(({ label }) => label),
      ...(architecture.match(/(?<=`)(?:commit|recovery|store)-\d(?=`)/g) ?? []),
    ])
    expect([...cited].filter((label) => !rules.has(label))).toEqual([])
  })
})
