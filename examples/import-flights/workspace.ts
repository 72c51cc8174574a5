/**
 * Where the demo works: a directory with the store and one journal per import. An import is finished when its journal
 * says so; one that isn't goes on, under the same idempotency key, which is the journal's name.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type JournalEntry, readJournal } from './journal.js'

/** The directory, and the import in it. */
export interface Workspace {
  readonly dir: string
  readonly store: string
  readonly journal: string
  readonly idempotencyKey: string
  /** The last step that an interrupted import began; 0 for a new one. */
  readonly from: number
  /** What was found there, for people. */
  readonly found: string | undefined
  /** Removes the directory, unless it is to be kept. */
  dispose(): void
}

/** The directory can't be used; nothing in it was changed. */
export class WorkspaceError extends Error {}

const STORE = 'store'
const JOURNAL = /^import-\d+\.jsonl$/

/**
 * Opens `dir`, made if it isn't there, or a temporary directory.
 * @throws WorkspaceError
 */
export function openWorkspace(dir: string | undefined): Workspace {
  if (dir === undefined) {
    const temporary = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
    return workspaceIn(temporary, () => rmSync(temporary, { recursive: true, force: true }))
  }
  if (dir === '') throw new WorkspaceError("'--dir' needs the path of a directory")
  const path = resolve(dir)
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const foreign = readdirSync(path).find((name) => name !== STORE && !JOURNAL.test(name))
    if (foreign) throw new WorkspaceError(`'${path}' holds '${foreign}', which no demo left there; take an empty one`)
  } catch (error) {
    if (error instanceof WorkspaceError) throw error
    throw new WorkspaceError(`'${path}' can't be used as a directory: ${String(error)}`, { cause: error })
  }
  return workspaceIn(path, () => {})
}

function workspaceIn(dir: string, dispose: () => void): Workspace {
  const store = join(dir, STORE)
  const latest = readdirSync(dir)
    .filter((name) => JOURNAL.test(name))
    .sort()
    .at(-1)
  const before = latest === undefined ? [] : readJournal(join(dir, latest))
  const goesOn = latest !== undefined && before.every(({ kind }) => kind !== 'finished')
  const name = goesOn ? latest : `import-${Date.now()}.jsonl`
  const from = goesOn ? lastBegun(before) : 0
  return {
    dir,
    store,
    journal: join(dir, name),
    idempotencyKey: name,
    from,
    found: latest === undefined ? undefined : foundText(goesOn, from),
    dispose,
  }
}

function foundText(goesOn: boolean, from: number): string {
  if (goesOn) return `There is an import that was interrupted at step ${from}; it goes on.`
  return 'There is a finished import; this is a new task beside it.'
}

function lastBegun(journal: readonly JournalEntry[]): number {
  return Math.max(0, ...journal.map((entry) => (entry.kind === 'begun' ? entry.step : 0)))
}
