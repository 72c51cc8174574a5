/** The site of ../docs. Links are checked by the build: a dead one fails it. */
import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'
import { llmsFull, llmsIndex } from '../../scripts/site/llms.js'
import { addressOf, readSections, slugOf } from '../../scripts/site/pages.js'

const docs = fileURLToPath(new URL('../../docs', import.meta.url))
const sections = readSections(docs)
// VitePress compiles pages to modules that import Vue, which is installed here only: so it gets a copy of the pages.
const copy = fileURLToPath(new URL('../.pages', import.meta.url))
rmSync(copy, { recursive: true, force: true })
cpSync(docs, copy, { recursive: true, filter: (path) => !/\.ts$/.test(path) })

export default defineConfig({
  srcDir: '.pages',
  title: 'Holdfast',
  description: 'Durable tasks for MCP servers: a tool call whose steps survive kill -9',
  cleanUrls: true,
  lastUpdated: false,
  markdown: {
    anchor: { slugify: slugOf },
    // A file that is no page, such as a test or a program, is not on the site: its link is shown as text.
    config: (markdown) => {
      markdown.core.ruler.push('links-outside', ({ tokens, env }) => {
        const depth = String(env.relativePath ?? '').split('/').length - 1
        for (const { children } of tokens) {
          for (const [at, token] of (children ?? []).entries()) {
            const href = token.type === 'link_open' ? (token.attrGet('href') ?? '') : ''
            const above = /^(\.\.\/)*/.exec(href)?.[0] ?? ''
            const isPage = above.length / '../'.length <= depth && /^#|\.md(#.*)?$/.test(href)
            if (href === '' || isPage || /^\w+:/.test(href)) continue
            token.tag = 'span'
            token.attrs = null
            const close = (children ?? []).slice(at).find(({ type }) => type === 'link_close')
            if (close) close.tag = 'span'
            token.type = 'text_open'
            if (close) close.type = 'text_close'
          }
        }
      })
    },
  },
  themeConfig: {
    nav: [
      { text: 'Quickstart', link: '/quickstart' },
      { text: 'Guides', link: '/guides/retries' },
      { text: 'MCP', link: '/mcp/2026-07-28' },
      { text: 'Reference', link: '/reference/' },
    ],
    sidebar: sections.map(({ title, pages }) => ({
      text: title,
      items: pages.map((page) => ({ text: page.title, link: addressOf(page) })),
    })),
    search: { provider: 'local' },
    outline: [2, 3],
  },
  buildEnd: ({ outDir }) => {
    writeFileSync(join(outDir, 'llms.txt'), llmsIndex(sections))
    writeFileSync(join(outDir, 'llms-full.txt'), llmsFull(sections))
  },
})
