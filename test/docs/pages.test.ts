// Goal: every page of the docs is found, and every link leads somewhere: to a file, and to a heading in it. The site's build checks
// links between pages once more; this test is fast, and checks links out of docs and headings too.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { llmsFull, llmsIndex } from '../../scripts/site/llms.js'
import { addressOf, readSections, slugOf } from '../../scripts/site/pages.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const sections = readSections(join(root, 'docs'))
const pages = sections.flatMap((section) => section.pages)
const texts = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'].map((path) => ({
    path,
    text: readFileSync(join(root, path), 'utf8'),
  })),
  ...pages.map(({ path, text }) => ({ path: `docs/${path}`, text })),
]

const withoutCode = (text: string) => text.replace(/^```[\s\S]*?^```$/gm, '')
const headings = (text: string) =>
  [...withoutCode(text).matchAll(/^#+ (.+)$/gm)].map(([, title]) => slugOf(title as string))

describe('the navigation', () => {
  test('has every page of docs, once', () => {
    const files = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.md'),
    )
    expect(pages.map(({ path }) => path).sort()).toEqual(files.map((path) => path.replaceAll('\\', '/')).sort())
  })

  test.each(pages.map((page) => [page.path, page] as const))('docs/%s has a title and a first sentence', (_, page) => {
    expect(page.title).not.toBe('')
    expect(page.summary).toMatch(/^[A-Z`].{10,}[.:]$/)
  })

  test('has a guide for each topic', () => {
    const guides = pages
      .filter(({ path }) => path.startsWith('guides/'))
      .map(({ path }) => path.slice('guides/'.length, -3))
    for (const topic of [
      ...['retries', 'cancel-and-undo', 'waiting', 'branches', 'children', 'in-doubt', 'limits', 'isolated'],
      ...['code-changes', 'retention', 'testing', 'deferred-steps', 'tasks-of-one-function'],
    ]) {
      expect(guides).toContain(topic)
    }
  })
})

describe('every link leads somewhere', () => {
  test.each(texts)('in $path', ({ path, text }) => {
    const links = [...withoutCode(text).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].map(
      ([, link]) => link as string,
    )
    const lost = links.filter((link) => {
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : normalize(join(dirname(path), file))
      if (!existsSync(join(root, target))) return true
      return anchor !== undefined && !headings(readFileSync(join(root, target), 'utf8')).includes(anchor)
    })
    expect(lost).toEqual([])
  })

  test('a link to a file or a heading that does not exist would be noticed', () => {
    expect(existsSync(join(root, 'docs/guides/none.md'))).toBe(false)
    expect(headings('# A title: `code`, and more\n')).toEqual(['a-title-code-and-more'])
  })
})

describe('the files for language models', () => {
  test('llms.txt lists every page with its first sentence', () => {
    const index = llmsIndex(sections)
    for (const page of pages) expect(index).toContain(`](${addressOf(page)}): ${page.summary}`)
  })

  test('llms-full.txt has the text of every page', () => {
    const full = llmsFull(sections)
    for (const { path, text } of pages) {
      expect(full).toContain(`<!-- ${path} -->`)
      expect(full).toContain(text.trim())
    }
  })
})
