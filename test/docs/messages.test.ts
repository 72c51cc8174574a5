// Goal: messages that users read, and the comments of inner names, use none of the words to avoid.
// Method: every text of src with a few words in it, and the first sentence of every doc comment. The comments and messages of exported
// names are read by prose.test.ts.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { wordsToAvoid } from '../helpers/words.js'

const src = fileURLToPath(new URL('../../src', import.meta.url))
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.m?ts$|\.mjs$/.test(path))
  .map((path) => readFileSync(join(src, path), 'utf8'))

test('no message of src uses a word to avoid', () => {
  const messages = sources.flatMap((text) => {
    const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
    return [...code.matchAll(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g)]
      .map(([literal]) => literal.slice(1, -1).replace(/\$\{[^}]*\}/g, '…'))
      .filter((message) => / \w+ /.test(message))
  })
  expect(messages.length).toBeGreaterThan(300)
  expect(messages.flatMap((message) => wordsToAvoid(message, message))).toEqual([])
})

test('the first sentence of each doc comment in src begins with the thing, and uses none of the words to avoid', () => {
  const first = sources.flatMap((text) =>
    [...text.matchAll(/\/\*\*([\s\S]*?)\*\//g)].map(
      ([, comment = '']) =>
        comment
          .replace(/\n\s*\* ?/g, ' ')
          .trim()
          .split(/(?<=[.:]) /)[0] ?? '',
    ),
  )
  expect(first.length).toBeGreaterThan(1_000)
  const wrong = first.filter(
    (sentence) => /^(What|Whether|How|Who|Whoever)\b/.test(sentence) || wordsToAvoid(sentence, 'src').length > 0,
  )
  expect(wrong).toEqual([])
})
