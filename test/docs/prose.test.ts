// Goal: the pages and the README use the field's words. One word per concept: the glossary is in docs/concepts.md.
// Method: the words to avoid are looked up in the text, without code. The generated reference is not read here: its text is the
// doc comments. The tables of the log are not either: they quote lines and titles of tests.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readSections } from '../../scripts/site/pages.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Each word, and what to write instead. */
const AVOIDED: readonly (readonly [RegExp, string])[] = [
  [/\b(take|takes|took|taken|taking)( \w+)? up\b/i, 'resume, restore'],
  [/\b(go|goes|going|went) on\b/i, 'continue'],
  [/\b(tell|tells|told|say|says|said|hear|hears|heard)\b/i, 'notify, return, report, show'],
  [/\b(lies|lie|lying) beside\b|\bbeside\b/i, 'stored with, stored under'],
  [/\bof late\b|\blately\b|\bpace\b/i, 'recently, recent throughput'],
  [/\b(nobody|anybody|somebody|everybody|whoever|whatever|anyone|someone)\b/i, 'caller, client, owner, task'],
  [/\b(dies|died|die of|dead|deaths?)\b/i, 'crash'],
  [/\b(a|the|its) (life|lives)\b/i, 'opening'],
  [/\b(let|lets) go\b/i, 'unload, release, delete'],
  [/\bundertak\w+|\bhow-manieth\b|\bmend\w*\b|\beras?\b/i, 'run, index, fix, revision'],
]

const pages = readSections(join(root, 'docs'))
  .flatMap((section) => section.pages)
  .filter(({ path }) => !path.startsWith('reference/'))
const texts = [
  { path: 'README.md', text: readFileSync(join(root, 'README.md'), 'utf8') },
  ...pages.map(({ path, text }) => ({ path: `docs/${path}`, text })),
]

test.each(texts)('$path uses none of the words to avoid', ({ path, text }) => {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, '')).replace(/`[^`\n]*`/g, '``')
  const isLog = path === 'docs/operations/log.md'
  const lines = prose.split('\n').map((line) => (isLog && line.startsWith('|') ? '' : line))
  const found = lines.flatMap((line, index) =>
    AVOIDED.flatMap(([word, instead]) => {
      const hit = word.exec(line)?.[0]
      return hit ? [`${path}:${index + 1}: '${hit}': write ${instead}`] : []
    }),
  )
  expect(found).toEqual([])
})
