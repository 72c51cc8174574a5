// Goal: the shape that ARCHITECTURE.md promises stays true, so that nobody has to remember it.
// Method: read every source file as text; each failure says what to do instead.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const SRC = fileURLToPath(new URL('../../src', import.meta.url))

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

const folderOf = (path: string) => (path.includes('/') ? dirname(path) : '')

/**
 * The folders, lowest first. A folder imports itself and folders of lower lines, type imports included. Folders of one line
 * do not import each other.
 */
const LEVELS = [
  ['base'],
  ['http'],
  ['task/log'],
  ['task'],
  ['task/definition'],
  ['task/decisions'],
  ['store/disk'],
  ['store/files'],
  ['store/lock', 'store/integrity'],
  ['store/copies'],
  ['store'],
  ['engine/checks', 'otel'],
  ['engine/scheduling'],
  ['engine/state'],
  ['engine/core'],
  ['engine/replay'],
  ['engine/undo'],
  ['engine/calls/isolated'],
  ['engine/calls'],
  ['engine/lifecycle'],
  ['engine/recovery', 'engine/retention'],
  ['admin/verify'],
  ['admin/portable', 'admin/repair', 'admin/audit'],
  ['admin'],
  ['operator/contract'],
  ['operator/server'],
  ['api', 'operator/client'],
  ['operator'],
  ['cli/terminal'],
  ['cli/commands'],
  ['cli'],
  ['mcp/access'],
  ['mcp/http'],
  ['mcp/tools'],
  ['mcp/checkpoints', 'mcp/stdio'],
  ['mcp/rev-2025-11-25/server', 'mcp/rev-2026-07-28/server'],
  ['mcp/rev-2025-11-25/http', 'mcp/rev-2026-07-28/http'],
  ['mcp/rev-2025-11-25/stdio', 'mcp/rev-2026-07-28/stdio'],
  ['mcp/rev-2025-11-25', 'mcp/rev-2026-07-28'],
  ['testing'],
]
const levelOf = (folder: string) => LEVELS.findIndex((folders) => folders.includes(folder))
const FILES_PER_FOLDER_MAX = 18
const FILES_IN_CYCLE_MAX = 3

const paths = new Set(sources.map(({ path }) => path))
/** The files below src that each file imports. `index.ts` exports from everywhere and is imported by none. */
const fileGraph = new Map(
  sources
    .filter(({ path }) => path !== 'index.ts')
    .map(({ path, imports }) => [path, [...new Set(imports.filter((target) => paths.has(target)))]] as const),
)
/** The folders that each folder imports. */
const folderGraph = new Map<string, Set<string>>()
for (const [path, targets] of fileGraph) {
  const folder = folderOf(path)
  const imported = folderGraph.get(folder) ?? new Set<string>()
  for (const target of targets) if (folderOf(target) !== folder) imported.add(folderOf(target))
  folderGraph.set(folder, imported)
}

/** The folder graph as ARCHITECTURE.md shows it: without imports that follow from those of an imported folder. */
function picture(): string {
  const above = (folder: string, seen = new Set<string>()): Set<string> => {
    for (const next of folderGraph.get(folder) ?? []) if (!seen.has(next)) above(next, seen.add(next))
    return seen
  }
  const order = LEVELS.flat().filter((folder) => folderGraph.has(folder))
  const width = Math.max(...order.map((folder) => folder.length))
  return order
    .map((folder) => {
      const imported = [...(folderGraph.get(folder) as Set<string>)]
      const direct = imported.filter((one) => !imported.some((other) => other !== one && above(other).has(one)))
      const sorted = direct.sort((one, other) => levelOf(one) - levelOf(other) || one.localeCompare(other))
      return `${folder.padEnd(width)} → ${sorted.join(', ') || 'nothing'}`
    })
    .join('\n')
}

test('folders import only what stands below them', () => {
  console.log(picture())
  const wrong = [...fileGraph].flatMap(([path, targets]) =>
    targets
      .filter((target) => folderOf(target) !== folderOf(path))
      .filter((target) => levelOf(folderOf(target)) >= levelOf(folderOf(path)))
      .map((target) => `src/${path} imports src/${target}`),
  )
  expect(wrong, 'Imports point one way (LEVELS). Hand the thing in as an argument instead.').toEqual([])
})

test('the engine does not know HTTP', () => {
  const wrong = [...fileGraph]
    .filter(([path]) => !/^(http|mcp|operator|admin|cli)\//.test(path))
    .flatMap(([path, targets]) => targets.filter((target) => target.startsWith('http/')).map(() => `src/${path}`))
  expect(wrong, 'src/http is for the protocols.').toEqual([])
})

test('the order of the folders names every folder', () => {
  expect(
    [...folderGraph.keys()].filter((folder) => levelOf(folder) < 0),
    'Put a new folder into LEVELS, and into ARCHITECTURE.md.',
  ).toEqual([])
})

test('folders stay small enough to be looked over', () => {
  const sizes = [...folderGraph.keys()].map((folder) => {
    const count = sources.filter(({ path }) => folderOf(path) === folder).length
    return [folder, count] as const
  })
  expect(
    sizes.filter(([, count]) => count > FILES_PER_FOLDER_MAX),
    'A folder this large holds two things: give the second a folder of its own.',
  ).toEqual([])
})

test('ARCHITECTURE.md shows the folders as they are', () => {
  const text = readFileSync(new URL('../../ARCHITECTURE.md', import.meta.url), 'utf8')
  const [, shown] = /<!-- folders:begin -->\n```text\n([\s\S]*?)\n```\n<!-- folders:end -->/.exec(text) ?? []
  expect(shown, 'Paste the printed graph between the folders marks of ARCHITECTURE.md.').toBe(picture())
  const described = [...text.matchAll(/^\| `([^`]+)\/` \|/gm)].map(([, folder]) => folder as string)
  const missing = [...folderGraph.keys()].filter((folder) => !described.includes(folder))
  expect(missing, 'Give each folder a sentence in the table of ARCHITECTURE.md.').toEqual([])
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(8_192)
})

test('pages about the code name files that exist', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const internals = readdirSync(join(root, 'docs/internals'), { recursive: true, encoding: 'utf8' })
  const pages = ['ARCHITECTURE.md', 'CONTRIBUTING.md', ...internals.map((page) => `docs/internals/${page}`)]
  const lost = pages
    .filter((page) => page.endsWith('.md'))
    .flatMap((page) => {
      const text = readFileSync(join(root, page), 'utf8')
      const named = [...text.matchAll(/`(?:src\/)?((?:api|base|engine|http|mcp|store|task)\/[\w./-]+\.m?ts)`/g)]
      return named.filter(([, path]) => !paths.has(path as string)).map(([, path]) => `${page}: ${path}`)
    })
  expect(lost).toEqual([])
})

test('an exported name stands for one thing', () => {
  // The two revisions have the same names on purpose.
  const revision = (path: string) => /^mcp\/(rev-[^/]+)/.exec(path)?.[1] ?? ''
  const exported = sources.flatMap(({ path, text }) =>
    [...text.matchAll(/^export (?:async )?(?:function\*?|class|const|interface|type) (\w+)/gm)].map(([, name]) => ({
      path,
      name: `${name} ${revision(path)}`,
    })),
  )
  // Overloads and a type beside its value are one thing: they stand in one file.
  const places = new Map<string, Set<string>>()
  for (const { name, path } of exported) places.set(name, (places.get(name) ?? new Set()).add(path))
  const twice = [...places].filter(([, files]) => files.size > 1).map(([name, files]) => [name.trim(), ...files])
  expect(twice, 'Give one of them another name: an editor imports the wrong one.').toEqual([])
})

test('ARCHITECTURE.md answers where things are', () => {
  const text = readFileSync(new URL('../../ARCHITECTURE.md', import.meta.url), 'utf8')
  const [, table = ''] = /\| Where is \| file \|\n\|--\|--\|\n([\s\S]*?)(?:\n\n|$)/.exec(text) ?? []
  const named = table
    .trim()
    .split('\n')
    .map((row) => /`([^`]+)` \|$/.exec(row)?.[1] ?? row)
  expect(named).toHaveLength(25)
  expect(named.filter((path) => !paths.has(path))).toEqual([])
})

test('one place reaches the disk', () => {
  const places = sources.filter(({ text }) => /\.batch\(/.test(text)).map(({ path }) => path)
  expect(places, 'Write through `store.commit`: `.batch(` stands in src/store/commit.ts and nowhere else.').toEqual([
    'store/commit.ts',
  ])
})

test('only the store knows classic-level', () => {
  const places = sources.filter(({ imports }) => imports.includes('classic-level')).map(({ path }) => path)
  // `holdfast doctor` shows if it loads.
  const others = places.filter((path) => !path.startsWith('store/') && path !== 'cli/commands/doctor.ts')
  expect(others, 'Ask src/store for what you need; classic-level is its business.').toEqual([])
})

test('one function opens a linked copy', () => {
  const places = sources.filter(({ text }) => text.includes('openClassicLevel')).map(({ path }) => path)
  const others = places.filter((path) => !path.startsWith('store/'))
  expect(others, 'Open a copy with `openCopy` (open-copy-1). These files make the databases that they open.').toEqual([
    'admin/restore-backup.ts',
    'admin/repair/salvage.ts',
  ])
})

test('only the binding of its revision knows an SDK of the protocol', () => {
  const wrong = sources
    .filter(({ imports }) => imports.some((from) => from.startsWith('@modelcontextprotocol/')))
    // `holdfast mcp` is a server of its own.
    .filter(({ path }) => !path.startsWith('mcp/rev-') && path !== 'cli/terminal/packages.ts')
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
  const allowed = new Set(['base/clock.ts', 'base/ids.ts', 'cli/main.ts'])
  const banned = /\bDate\.now\(|\bnew Date\(\)|Math\.random\(|randomBytes\(|randomUUID\(/
  const wrong = sources
    .filter(({ path, text }) => !allowed.has(path) && banned.test(text))
    .map(({ path }) => `src/${path}`)
  expect(wrong, 'Use the `Clock` and the `Ids` you are given: the engine runs under a simulated clock.').toEqual([])
})

test('nothing is written to standard output', () => {
  // The protocol of a stdio server writes its own messages there, and the command line its output.
  const allowed = ['mcp/stdio/process-streams.ts', 'cli/main.ts', 'cli/commands/mcp.ts']
  const wrong = sources
    .filter(({ path }) => !allowed.includes(path))
    .filter(({ text }) => /console\.(log|info|debug)\(|process\.stdout/.test(text))
    .map(({ path }) => `src/${path}`)
  expect(wrong, 'Standard output belongs to the protocol of a stdio server. Use the logger.').toEqual([])
})

test('few files form a cycle of imports, type imports included', () => {
  const cycles = circles().map(longestCycle)
  const longest = cycles.reduce((one, other) => (other.length > one.length ? other : one), [] as string[])
  console.log(`Longest file cycle: ${longest.length} (${longest.join(' → ')})`)
  expect(
    cycles.filter(({ length }) => length > FILES_IN_CYCLE_MAX).map((cycle) => cycle.join(' → ')),
    'Declare what both need in a file of its own, or take an interface of what is used.',
  ).toEqual([])
})

/** Sets of files that import each other, over one another or directly. */
function circles(): string[][] {
  const reached = (from: string, seen = new Set<string>()): Set<string> => {
    for (const target of fileGraph.get(from) ?? []) if (!seen.has(target)) reached(target, seen.add(target))
    return seen
  }
  const reach = new Map([...fileGraph.keys()].map((path) => [path, reached(path)] as const))
  const found: string[][] = []
  for (const path of fileGraph.keys()) {
    if (!reach.get(path)?.has(path) || found.some((circle) => circle.includes(path))) continue
    found.push([...(reach.get(path) as Set<string>)].filter((other) => reach.get(other)?.has(path)))
  }
  return found
}

/** The longest cycle within a circle; the whole circle where it is too large to try every path. */
function longestCycle(circle: string[]): string[] {
  if (circle.length > 12) return circle
  let longest: string[] = []
  const walk = (at: string, path: string[]) => {
    for (const next of fileGraph.get(at) ?? []) {
      if (next === path[0] && path.length > longest.length) longest = [...path]
      if (circle.includes(next) && !path.includes(next)) walk(next, [...path, next])
    }
  }
  for (const path of circle) walk(path, [path])
  return longest
}

test('imports of values have no cycles', () => {
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
  const wrong = sources
    .filter(({ text }) => !text.replace(/^#!.*\n/, '').startsWith('/**'))
    .map(({ path }) => `src/${path}`)
  expect(wrong, 'Begin with a comment that says what the file owns, and the rules that make it safe.').toEqual([])
})

test('files stay short enough to be read in one sitting', () => {
  const long = sources
    .map(({ path, text }) => [relative('.', path), text.split('\n').length] as const)
    .filter(([, lines]) => lines > 350)
  expect(long, 'A file this long holds two ideas: give the second a file of its own.').toEqual([])
})

describe('the labels of rules', () => {
  const architecture = readFileSync(join(SRC, '../docs/internals/rules.md'), 'utf8')
  // At the head of a file: ` * commit-3. A failed batch …`; in docs/internals/rules.md: `commit-3`.
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
    const tests = fileURLToPath(new URL('..', import.meta.url))
    const texts = [
      ...sources.map(({ text }) => text),
      ...readdirSync(tests, { recursive: true, encoding: 'utf8' })
        .filter((path) => /\.m?ts$/.test(path) && !/node_modules|installed/.test(path) && !path.includes('tidy'))
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
