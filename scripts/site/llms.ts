/** Makes llms.txt, an index of the pages, and llms-full.txt, their whole text, for language models. See https://llmstxt.org */
import { addressOf, type Section } from './pages.js'

/** The index: one line a page. */
export function llmsIndex(sections: readonly Section[]): string {
  const lists = sections.map(({ title, pages }) => {
    const lines = pages.map((page) => `- [${page.title}](${addressOf(page)}): ${page.summary}`)
    return `## ${title}\n\n${lines.join('\n')}`
  })
  return `# Holdfast\n\n> Durable tasks for MCP servers: a tool call whose steps survive kill -9. An embedded TypeScript library.\n\nThe whole text is in /llms-full.txt.\n\n${lists.join('\n\n')}\n`
}

/** The whole text, each page under its path. */
export function llmsFull(sections: readonly Section[]): string {
  const pages = sections.flatMap((section) => section.pages)
  return pages.map(({ path, text }) => `<!-- ${path} -->\n\n${text.trim()}\n`).join('\n')
}
