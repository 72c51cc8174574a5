#!/usr/bin/env node
/** Starts the command line with the streams of this process. */
import { createInterface } from 'node:readline/promises'
import { text } from 'node:stream/consumers'
import { releaseOfPackage } from '../operator/server/release.js'
import { run } from './program.js'

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interrupted.abort(new Error(`Interrupted by ${signal}`)))
}
// The reader of a pipe, such as `head`, may end first.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
  })
}

process.exitCode = await run(
  {
    env: process.env,
    now: Date.now,
    isTerminal: process.stdout.isTTY === true,
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
    interrupted: interrupted.signal,
    readInput: () => text(process.stdin),
    async confirm(question) {
      const lines = createInterface({ input: process.stdin, output: process.stderr })
      const answer = await lines.question(`${question} [y/N] `)
      lines.close()
      return /^y(es)?$/i.test(answer.trim())
    },
  },
  releaseOfPackage(),
  process.argv.slice(2),
)
