/** Takes up, behind `open`, what was found unfinished: the engine's hands for what `recovery/` decides. */
import { recover } from '../recovery/recover.js'
import type { TaskHead } from '../task/head.js'
import { startCleanUp } from './clean-up.js'
import type { Engine } from './engine.js'
import type { LiveTask } from './live-task.js'
import { endOrphan } from './settling.js'

/** Takes up the tasks with these heads, oldest first. */
export function takeUp(engine: Engine, found: readonly TaskHead[]): void {
  const { report, clock, tasks } = engine
  const heads = found.filter(({ taskId }) => tasks.has(taskId))
  const taskOf = (taskId: string) => tasks.get(taskId) as LiveTask
  report.begin(
    heads.map(({ taskId }) => taskId),
    clock.now(),
  )
  for (const { taskId } of heads) engine.arm(taskOf(taskId))
  for (const { taskId, parentId } of heads) {
    if (parentId !== undefined && !tasks.has(parentId)) void endOrphan(engine, taskId)
  }
  recover(heads, report, {
    now: () => clock.now(),
    isRegistered: (type) => engine.registry.get(type) !== undefined,
    resume: (taskId) => engine.schedule(taskOf(taskId), { now: true }),
    wait: (taskId) => engine.schedule(taskOf(taskId)),
    park: (taskId, parked) => engine.park(taskOf(taskId), parked),
    cleanUp: (taskId) => startCleanUp(engine, taskOf(taskId)),
    timeOut: (taskId) => engine.timeOut(taskOf(taskId)),
  })
  void report.done.then(() => {
    if (report.finishedAt === undefined) return
    engine.events.emit('recovery:done', {
      resumed: report.count('resumed'),
      parked: report.count('parked'),
      settled: report.count('settled'),
      damaged: report.count('damaged'),
    })
  })
}
