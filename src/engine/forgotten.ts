/** Says what a body left behind that it had asked for. The loser of a race by hand looks the same as a forgotten `await`. */
import type { Logger } from '../logger.js'
import { describeRecord } from '../task/log.js'
import type { Asked } from './asked.js'

/** Notes what is left of a body that returned. */
export function noteForgotten(logger: Logger, taskId: string, waiting: Iterable<Asked>): void {
  const left = [...waiting].map(({ ask }) => describeRecord(ask.name))
  if (left.length > 0) logger.debug('A body returned without waiting for what it had asked for', { taskId, left })
}
