/** Hands a recorded answer to the body that waits for it: the same value, or the same error, in every run. */
import { fromJson } from '../json.js'
import type { LogRecord } from '../task/log.js'
import { stepFailure, waitFailure } from '../task/outcome.js'
import type { Asked } from './asked.js'

export function handAnswer(record: LogRecord, { resolve, reject }: Asked): void {
  const failure = failureOf(record)
  if (failure) reject(failure)
  else resolve(valueIn(record))
}

function failureOf(record: LogRecord): Error | undefined {
  if (!('failed' in record) || record.failed === undefined) return undefined
  const { kind, name, seq, failed } = record
  return kind === 'step' || kind === 'child' ? stepFailure(name, seq, failed, kind) : waitFailure(seq, failed)
}

function valueIn(record: LogRecord): unknown {
  if (record.kind === 'checkpoint') return { checkpointId: record.checkpointId }
  if (record.kind === 'decision') return record.branch
  return 'value' in record ? fromJson(record.value) : undefined
}
