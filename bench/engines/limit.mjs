/**
 * The raw limit as a peer: a step is an append of its result, as JSON, to a file, and one `fdatasync`. It has no engine, no
 * head, no record of the beginning and the end of a task, and recovers nothing. Tasks do not share a sync: in W2 it shows
 * what a program gives that syncs each step by itself.
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { takeSteps } from './peer.mjs'

/** @type {import('./peer.mjs').OpenPeer} */
export async function open({ dir, steps, work }) {
  mkdirSync(dir)
  const file = openSync(join(dir, 'file'), 'ax', 0o600)
  const run = () =>
    takeSteps(steps, async (step) => {
      const result = await work(step)
      writeSync(file, JSON.stringify(result))
      fdatasyncSync(file)
      return result
    })
  return {
    run,
    start: async (name) => {
      await run()
      return name
    },
    close: async () => closeSync(file),
  }
}
