/**
 * The progress of a run: a file with a line of JSON for each turn that has ended. So an interruption loses one turn at
 * most, and `--resume` continues from there.
 */
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { Turn } from './result.js'

/** What the turns of one result have in common. A run with other settings cannot be continued. */
export interface Settings {
  /** Date of the first turn. */
  readonly date: string
  readonly loadBefore: readonly number[]
  /** Options, versions and the commit: they must be the same when the run is continued. */
  readonly fixed: Readonly<Record<string, unknown>>
}

/** The progress of a run. */
export interface Progress {
  readonly settings: Settings
  /** Turns that have ended well before. A failed one is not among them, so it is run again. */
  readonly finished: readonly Turn[]
  add(turn: Turn): void
  remove(): void
}

/** Begins a run, and forgets the one that was interrupted, if there is one. */
export function beginProgress(path: string, settings: Settings): Progress {
  return progressOf(path, settings, [])
}

/**
 * Continues a run that was interrupted.
 * @throws Error if there is none, or if it has other settings
 */
export function resumeProgress(path: string, fixed: Settings['fixed']): Progress {
  if (!existsSync(path)) throw new Error(`There is no run to continue: ${path} does not exist`)
  const [settings, ...turns] = linesIn(path) as [Settings | undefined, ...Turn[]]
  if (!settings) throw new Error(`The run in ${path} has no first line. Begin anew, without --resume`)
  const wanted = JSON.parse(JSON.stringify(fixed)) as Settings['fixed']
  for (const name of Object.keys({ ...settings.fixed, ...wanted })) {
    const [before, now] = [settings.fixed[name], wanted[name]].map((value) => JSON.stringify(value))
    if (before !== now) {
      throw new Error(`The interrupted run had another ${name}: ${before} and not ${now}. Begin anew, without --resume`)
    }
  }
  return progressOf(
    path,
    settings,
    turns.filter((turn) => !('error' in turn)),
  )
}

function progressOf(path: string, settings: Settings, finished: readonly Turn[]): Progress {
  const text = (value: unknown) => `${JSON.stringify(value)}\n`
  writeFileSync(`${path}.new`, [settings, ...finished].map(text).join(''))
  renameSync(`${path}.new`, path)
  return {
    settings,
    finished,
    add: (turn) => appendFileSync(path, text(turn)),
    remove: () => rmSync(path, { force: true }),
  }
}

/** The lines of the file. A process that was killed in the middle of its last line leaves that one incomplete. */
function linesIn(path: string): unknown[] {
  const whole = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return whole.map((line) => JSON.parse(line) as unknown)
}
