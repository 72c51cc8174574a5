/** Assembles an engine from its parts. These parts import the engine, and the engine imports none of them. */

import type { CheckedOptions } from '../engine/checks/open-options.js'
import type { Lifecycle, Recovery } from '../engine/core/collaborators.js'
import { Engine } from '../engine/core/engine.js'
import { Children } from '../engine/lifecycle/children.js'
import { park } from '../engine/lifecycle/park.js'
import { begin, schedule } from '../engine/lifecycle/schedule.js'
import { announceSettled, noteDropped, settleEvent } from '../engine/lifecycle/settle.js'
import { timeOut } from '../engine/lifecycle/time-out.js'
import { wakeTask } from '../engine/lifecycle/wake.js'
import { reloadHeads } from '../engine/recovery/after-outage.js'
import { Openings, UnrecordedOpening } from '../engine/recovery/openings.js'
import { ParkedRetries } from '../engine/recovery/parked-retries.js'
import { loadTasks, resumeTasks, resumeType } from '../engine/recovery/resume-tasks.js'
import { Suspects } from '../engine/recovery/suspects.js'
import { TaskSweepGuard } from '../engine/retention/sweep-guard.js'
import type { Store } from '../store/store.js'
import { observeEngine } from './stats.js'

/** Creates an engine over an open store, with all of its parts. */
export function assembleEngine(store: Store, options: CheckedOptions): Engine {
  const engine = new Engine(store, options, (engine) => ({
    lifecycle: lifecycleOf(engine),
    children: new Children(engine),
    recovery: recoveryOf(engine),
    suspects: new Suspects(engine, options),
    openings:
      options.purpose === 'operate' ? new UnrecordedOpening() : new Openings(store, options.ids, options.logger),
    sweeps: new TaskSweepGuard(),
  }))
  if (options.telemetry) observeEngine(engine, options.telemetry)
  return engine
}

function lifecycleOf(engine: Engine): Lifecycle {
  return {
    schedule: (task, options) => schedule(engine, task, options),
    begin: (task, fresh) => begin(engine, task, fresh),
    timeOut: (task) => timeOut(engine, task),
    settleEvent: (head, outcome, settling) => settleEvent(engine, head, outcome, settling),
    announceSettled: (task, outcomeText) => announceSettled(engine, task, outcomeText),
    park: (task, parked, run) => park(engine, task, parked, run),
    wakeTask: (task, answered) => wakeTask(engine, task, answered),
    noteDropped: (task) => noteDropped(engine, task),
  }
}

function recoveryOf(engine: Engine): Recovery {
  const parkedRetries = new ParkedRetries(engine)
  return {
    load: () => loadTasks(engine),
    resumeTasks: (found) => resumeTasks(engine, parkedRetries, found),
    resumeType: (definition) => resumeType(engine, parkedRetries, definition),
    reloadHeads: (level, taskIds) => reloadHeads(engine, level, taskIds),
  }
}
