// Goal: the pages, the README and the first sentences of doc comments use the field's words. One word per concept: the glossary is in
// docs/concepts.md. A doc comment begins with the thing: a noun for a value, a verb for a function.
// Method: the words to avoid are looked up in the text, without code. The generated reference is not read here: its text is the
// doc comments. The tables of the log are not either: they quote lines and titles of tests.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ERROR_CODES } from 'holdfast'
import { expect, test } from 'vitest'
import { readSource } from '../../scripts/reference/source.js'
import { readSections } from '../../scripts/site/pages.js'
import { wordsToAvoid } from '../helpers/words.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

const pages = readSections(join(root, 'docs'))
  .flatMap((section) => section.pages)
  .filter(({ path }) => !path.startsWith('reference/'))
const texts = [
  { path: 'README.md', text: readFileSync(join(root, 'README.md'), 'utf8') },
  ...pages.map(({ path, text }) => ({ path: `docs/${path}`, text })),
]

test.each(texts)('$path uses none of the words to avoid', ({ path, text }) => {
  const isLog = path === 'docs/operations/log.md'
  const found = wordsToAvoid(isLog ? text.replace(/^\|.*$/gm, '') : text, path)
  expect(found).toEqual([])
})

test('the first sentence of each exported doc comment begins with the thing, and uses none of the words to avoid', () => {
  const docs = readSource(root).entries.flatMap(({ exports }) =>
    exports.flatMap(({ name, doc, members }) => [
      { where: name, text: doc.text },
      ...members.map((member) => ({ where: `${name}.${member.name}`, text: member.doc.text })),
    ]),
  )
  const wrong = docs.flatMap(({ where, text }) => {
    const [first = ''] = text.replace(/\s+/g, ' ').split(/(?<=[.:]) /)
    const isRiddle = /^(What|Whether|How|Who|Which|Why|When|Where|The same)\b/.test(first)
    return [...(isRiddle ? [`${where}: begins with '${first.split(' ')[0]}'`] : []), ...wordsToAvoid(first, where)]
  })
  expect([...new Set(wrong)]).toEqual([])
})

test('no text of an error code and no log line uses a word to avoid', () => {
  const lines = readSource(root).logLines.map(({ level, message }) => ({
    where: `${level} '${message}'`,
    text: message,
  }))
  const codes = Object.entries(ERROR_CODES).map(([where, text]) => ({ where, text: text as string }))
  expect([...lines, ...codes].flatMap(({ where, text }) => wordsToAvoid(text, where))).toEqual([])
})
