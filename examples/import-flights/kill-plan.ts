/** When the server is killed: moments that nobody can foresee, spread over the import. Pure; chance is handed in. */
import type { JournalEntry } from './journal.js'

/** The first time that `after` happens to `step` or to a later one, and then some. */
export interface Kill {
  readonly step: number
  /**
   * `begun`: most likely inside a step, before its effect · `effect`: most likely between the effect and its record ·
   * `checkpoint`: most likely between two steps, while a checkpoint is being saved.
   */
  readonly after: 'begun' | 'effect' | 'checkpoint'
  readonly stepsPerCheckpoint: number
  readonly delayMs: number
}

// About as long as each lasts; with more, the kill would fall into what comes next.
const DELAY_MS_MAX = { begun: 5, effect: 2, checkpoint: 2 }
// Behind the last kill there is enough left to resume.
const STEPS_LEFT_MIN = 10

/** One kill in each of `kills` equal stretches of what is left to do. Where it fell is seen afterwards, in the journal. */
export function planKills(
  kills: number,
  { from, steps, stepsPerCheckpoint }: { from: number; steps: number; stepsPerCheckpoint: number },
  random: () => number,
): Kill[] {
  const end = steps - STEPS_LEFT_MIN
  if (from >= end) return []
  const stretch = (end - from) / kills
  const moments = shuffle(['begun', 'effect', 'checkpoint'] as const, random)
  return Array.from({ length: kills }, (_, index) => {
    const after = moments[index % moments.length] ?? 'begun'
    return {
      step: from + Math.max(1, Math.floor((index + random()) * stretch)),
      after,
      stepsPerCheckpoint,
      delayMs: Math.floor(random() * DELAY_MS_MAX[after]),
    }
  })
}

/** Whether the moment has come. */
export function isDue({ step, after, stepsPerCheckpoint }: Kill, entry: JournalEntry): boolean {
  if (entry.kind === 'opened' || entry.kind === 'finished' || entry.step < step) return false
  if (after !== 'checkpoint') return entry.kind === after
  return entry.kind === 'recorded' && entry.step % stepsPerCheckpoint === 0
}

function shuffle<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item)
}
