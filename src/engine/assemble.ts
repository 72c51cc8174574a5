/** Assembles an engine: makes the parts that import it, and hands them in. The engine imports none of them. */
import type { Store } from '../store/store.js'
import { Children } from './children.js'
import type { Lifecycle, Recovery } from './collaborators.js'
import { Engine } from './engine.js'
import { Openings } from './lives.js'
import type { CheckedOptions } from './options.js'
import { park } from './park.js'
import { ParkedRetries } from './parked-retries.js'
import { reloadHeads } from './reload.js'
import { begin, schedule } from './schedule.js'
import { noteDropped, settleEvent, tellSettled } from './settling.js'
import { Suspects } from './suspects.js'
import { TaskSweepGuard } from './sweeps.js'
import { loadTasks, resumeTasks, resumeType } from './take-up.js'
import { timeOut } from './time-out.js'
import { wakeTask } from './waking.js'

/** Makes an engine over an open store, with all of its parts. */
export function assembleEngine(store: Store, options: CheckedOptions): Engine {
  return new Engine(store, options, (engine) => ({
    lifecycle: lifecycleOf(engine),
    children: new Children(engine),
    recovery: recoveryOf(engine),
    suspects: new Suspects(engine, options),
    openings: new Openings(store, options.ids, options.logger),
    sweeps: new TaskSweepGuard(),
  }))
}

function lifecycleOf(engine: Engine): Lifecycle {
  return {
    schedule: (task, options) => schedule(engine, task, options),
    begin: (task, fresh) => begin(engine, task, fresh),
    timeOut: (task) => timeOut(engine, task),
    settleEvent: (head, outcome, settling) => settleEvent(engine, head, outcome, settling),
    tellSettled: (task) => tellSettled(engine, task),
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
