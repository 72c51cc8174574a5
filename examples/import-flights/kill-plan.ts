/** When the server is killed: moments that nobody can foresee, spread over the import. Pure; chance is handed in. */
import type { JournalEntry } from './journal.js'

/** The first moment at which `after` is true of `step` or a later one, and then some. */
export interface Kill {
  readonly step: number
  /** `begun`: most likely inside a step. `checkpoint`: most likely between two, while a checkpoint is being saved. */
  readonly after: 'begun' | 'checkpoint'
  readonly stepsPerCheckpoint: number
  readonly delayMs: number
}

// About as long as a step takes; past it, a kill that was aimed at one step falls into another.
const DELAY_MS_MAX = 5
// Behind the last of them there is enough left to resume.
const STEPS_LEFT_MIN = 10

/** One kill in each of `kills` equal stretches of the import. Where it falls is seen afterwards, in the journal. */
export function planKills(
  kills: number,
  { steps, stepsPerCheckpoint }: { steps: number; stepsPerCheckpoint: number },
  random: () => number,
): Kill[] {
  const stretch = (steps - STEPS_LEFT_MIN) / kills
  const first = random() < 0.5 ? 0 : 1
  return Array.from({ length: kills }, (_, index) => ({
    step: Math.max(1, Math.floor((index + random()) * stretch)),
    after: index % 2 === first ? 'begun' : 'checkpoint',
    stepsPerCheckpoint,
    // A checkpoint is saved in a fraction of what a step takes, so half of those kills come without a delay.
    delayMs: index % 2 === first || random() < 0.5 ? Math.floor(random() * DELAY_MS_MAX) : 0,
  }))
}

/** Whether the moment has come. */
export function isDue(kill: Kill, entry: JournalEntry): boolean {
  if (kill.after === 'begun') return entry.kind === 'begun' && entry.step >= kill.step
  return entry.kind === 'recorded' && entry.step >= kill.step && entry.step % kill.stepsPerCheckpoint === 0
}
