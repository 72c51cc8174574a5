/** The pages of docs/ and their order: what the navigation of the site, llms.txt and the tests of the docs share. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One page. */
export interface Page {
  /** Path below docs, such as `guides/retries.md`. */
  readonly path: string
  readonly title: string
  /** The first sentence after the title; of a decision, that of the decision. */
  readonly summary: string
  readonly text: string
}

/** One heading of the navigation. */
export interface Section {
  readonly title: string
  readonly pages: readonly Page[]
}

/** The headings in their order, each with a folder. Pages that a list does not name follow, by path. */
const SECTIONS: readonly { title: string; folder: string; first: readonly string[] }[] = [
  { title: 'Start', folder: '', first: ['index', 'quickstart', 'concepts', 'comparison'] },
  {
    title: 'Guides',
    folder: 'guides',
    first: [
      ...['retries', 'cancel-and-undo', 'waiting', 'branches', 'children', 'checkpoints', 'in-doubt', 'limits'],
      ...['tasks-of-one-function', 'deferred-steps', 'isolated', 'code-changes', 'retention', 'listing'],
      ...['attributes', 'testing'],
    ],
  },
  { title: 'MCP', folder: 'mcp', first: ['2026-07-28', '2025-11-25', 'stdio', 'clients', 'migrating', 'hosts'] },
  { title: 'Deploy', folder: 'deploy', first: ['index'] },
  {
    title: 'Operations',
    folder: 'operations',
    first: [
      'operating',
      'command-line',
      'transcript',
      'recovery',
      'poisoned-tasks',
      'store',
      'backup',
      'verify',
      'repair',
      'monitoring',
      'telemetry',
      'operator-api',
      'log',
    ],
  },
  {
    title: 'Incidents',
    folder: 'operations/incidents',
    first: ['index', 'stuck-task', 'parked-tasks', 'full-disk', 'damaged-store', 'two-servers', 'restore', 'move'],
  },
  {
    title: 'Reference',
    folder: 'reference',
    first: ['index', 'holdfast', 'options', 'limits', 'errors', 'events', 'log-lines'],
  },
  {
    title: 'Internals',
    folder: 'internals',
    first: ['architecture', 'on-disk-format', 'guarantees', 'debugging', 'benchmarks'],
  },
  { title: 'Decisions', folder: 'internals/decisions', first: ['index'] },
]

/** Reads every page below `docs`, by section. */
export function readSections(docs: string): Section[] {
  const paths = readdirSync(docs, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.md'))
    .sort()
  return SECTIONS.map(({ title, folder, first }) => {
    const inside = paths.filter((path) => path.slice(0, Math.max(0, path.lastIndexOf('/'))) === folder)
    const rank = (path: string) => {
      const name = path.slice(path.lastIndexOf('/') + 1, -'.md'.length)
      return first.includes(name) ? first.indexOf(name) : first.length
    }
    const pages = inside.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)).map((path) => readPage(docs, path))
    return { title, pages }
  }).filter(({ pages }) => pages.length > 0)
}

function readPage(docs: string, path: string): Page {
  const text = readFileSync(join(docs, path), 'utf8')
  const title = /^# (.+)$/m.exec(text)?.[1]?.replaceAll('`', '')
  if (title === undefined) throw new Error(`docs/${path} has no title: begin it with "# …"`)
  const [, after = ''] = text.split(/^# .+$/m)
  const paragraph = after
    .replace(/<!--[\s\S]*?-->/g, '')
    .split(/\n\s*\n/)
    .find((part) => /^[^#|`\s-]/.test(part.trim()))
  const decided = /^\*\*Decision\.\*\* ([\s\S]*?)\n\n/m.exec(after)?.[1]
  const [summary = ''] = (decided ?? paragraph ?? '')
    .trim()
    .replace(/\s+/g, ' ')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .split(/(?<=[.:]) /)
  return { path, title, summary: summary.replace(/:$/, '.'), text }
}

/** The address of a page on the site. */
export function addressOf({ path }: Page): string {
  return `/${path.replace(/(^|\/)index\.md$/, '$1').replace(/\.md$/, '')}`
}

/** The slug that GitHub gives a heading; the site uses it too, so that one link serves both. */
export function slugOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/[^\p{Letter}\p{Number}\s_-]/gu, '')
    .replace(/\s/g, '-')
}
