// Goal: text of a task cannot move the cursor of an operator's terminal, forge a line or a colour, in any form of output.
import { expect, test } from 'vitest'
import { Output } from '../../../../src/cli/terminal/output.js'

const HOSTILE = 'a\u001b[2Jb\nc\rd\u009b31me\u202ef'

test.each([
  ['a terminal', true],
  ['a pipe', false],
])('%s gets hostile text as one plain line', (_, isTerminal) => {
  const written: string[] = []
  const write = (text: string) => void written.push(text)
  const output = new Output({ json: false, isTerminal, hasColors: false, write, writeError: write })
  output.line(HOSTILE)
  output.note(HOSTILE)
  output.cells(['x', HOSTILE])
  output.fields({}, [['name', HOSTILE]])
  output.rows([{ text: HOSTILE }], [{ title: 'T', text: ({ text }) => text }])
  expect(written.length).toBe(5)
  for (const text of written) {
    expect(
      text
        .replace(/\n$/, '')
        .replaceAll('\t', ' ')
        .replace(/^\s*T\s*\n/, ''),
    ).toMatch(/^[^\p{Cc}\p{Cf}]*$/u)
  }
})
