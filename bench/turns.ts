/** The turns of a run: which workloads are run for which engines, in which order, and how a turn is run. */
import { loadavg } from 'node:os'
import { ENGINES, type Engine } from './engines.js'
import type { Measured, PlannedTurn, Turn } from './result.js'
import { countSyncs } from './syncs.js'
import { OURS, runOurs, runSideBySide, SIDE_BY_SIDE, type WorkloadName } from './workloads.js'

/** The parts of a run. */
export interface Plan {
  readonly only: readonly WorkloadName[]
  /** Names of the engines. */
  readonly engines: readonly string[]
  readonly rounds: number
  /** Repetitions in one process. */
  readonly reps: number
  /** True if the syncs of each engine are counted as well. */
  readonly syncs: boolean
}

/**
 * The turns of a run. W1, W2 and W3 are run in rounds, in each of which every engine has its turn. The workloads of
 * Holdfast alone have one turn, since there is no other engine to take turns with.
 */
export function turnsOf({ only, engines, rounds, syncs }: Plan): PlannedTurn[] {
  const turns: PlannedTurn[] = []
  for (let round = 0; round < rounds; round++) {
    for (const workload of SIDE_BY_SIDE.filter((name) => only.includes(name))) {
      // Each goes first in some round: what one leaves of the disk's queue is not always the same one's.
      const first = round % engines.length
      for (const engine of [...engines.slice(first), ...engines.slice(0, first)]) {
        if (ENGINES[engine]?.workloads.includes(workload)) turns.push({ round, workload, engine })
      }
    }
  }
  if (engines.includes('holdfast')) {
    for (const workload of OURS.filter((name) => only.includes(name))) {
      turns.push({ round: 0, workload, engine: 'holdfast' })
    }
  }
  if (syncs) {
    for (const engine of engines.filter((name) => name !== 'limit')) turns.push({ round: 0, workload: 'syncs', engine })
  }
  return turns
}

/** Runs a turn. An error of one does not take the others along. */
export async function runTurn(turn: PlannedTurn, plan: Plan, place: { dir: string; scale: number }): Promise<Turn> {
  const [load = 0] = loadavg()
  const startedAt = performance.now()
  const outcome = await outcomeOf(turn, plan, place).catch((cause: unknown) => ({
    error: cause instanceof Error ? cause.message : String(cause),
  }))
  return { ...turn, seconds: Math.round((performance.now() - startedAt) / 100) / 10, load, ...outcome }
}

async function outcomeOf(
  { workload, engine: name }: PlannedTurn,
  { rounds, reps }: Plan,
  place: { dir: string; scale: number },
): Promise<{ samples: Measured[] } | { samples: Measured[]; syncs: Awaited<ReturnType<typeof countSyncs>> }> {
  const engine = ENGINES[name] as Engine
  if (workload === 'syncs') return { samples: [], syncs: await countSyncs(engine, place.dir) }
  if (isOurs(workload)) {
    // W4 repeats W2 in one process. The others repeat all that they measure, as often as there are rounds for W1 to W3.
    return { samples: await runOurs(workload, { ...place, reps: workload === 'w4' ? reps : rounds }) }
  }
  // Each repetition of W3 is two new processes, and makes its tasks anew. So the rounds are its repetitions.
  const ownReps = workload === 'w3' && rounds > 1 ? 1 : reps
  return {
    samples: await runSideBySide(workload as (typeof SIDE_BY_SIDE)[number], engine, { ...place, reps: ownReps }),
  }
}

function isOurs(name: string): name is (typeof OURS)[number] {
  return (OURS as readonly string[]).includes(name)
}
