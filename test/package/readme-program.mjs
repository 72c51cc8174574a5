// Prints the first TypeScript program of the README, so that what newcomers paste is what CI runs.
import { readFileSync } from 'node:fs'

const program = /```ts\n([\s\S]*?)```/.exec(readFileSync(process.argv[2] ?? 'README.md', 'utf8'))?.[1]
if (program === undefined) throw new Error('The README has no TypeScript program')
const lines = program.trimEnd().split('\n').length
if (lines > 25) throw new Error(`The first program of the README has ${lines} lines; a newcomer reads 25`)
process.stdout.write(program)
