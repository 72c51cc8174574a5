/**
 * Deletes audit entries that are older than `auditRetention`, and the oldest ones where the audit takes more than
 * `auditBytesMax`. Entries of one commit go together, in one batch with the keys that lead to them (audit-1) and with the link
 * that stands for them (audit-link-2).
 */
import { setImmediate as turn } from 'node:timers/promises'
import { linkOfOld, type OldAuditValue, readOldestAudit } from '../../store/audit.js'
import { writeGuards } from '../../store/delete-task.js'
import { deletedOperation } from '../../store/integrity/audit-link.js'
import type { Engine } from '../core/engine.js'

const VALUES_PER_READ = 100
const KEYS_PER_COMMIT = 64

/** One pass over the oldest entries. It stops at the first that is kept. */
export async function sweepAudit(
  engine: Pick<Engine, 'store' | 'clock' | 'options' | 'closing' | 'logger' | 'sweeps'>,
): Promise<void> {
  const { store, clock, logger, options, sweeps } = engine
  const { auditRetentionMs, auditBytesMax } = options
  const keptSince = clock.now() - auditRetentionMs
  let crowdedOut: OldAuditValue | undefined
  // Most passes find that the oldest value is kept, so the first read is of one value.
  for (let after = '', limit = 1; ; limit = VALUES_PER_READ) {
    const { values, last } = await store.read((level) => readOldestAudit(level, after, limit))
    const kept = values.findIndex(
      ({ at, bytesBefore }) => at >= keptSince && store.audit.bytes - bytesBefore <= auditBytesMax,
    )
    const over = kept < 0 ? values : values.slice(0, kept)
    if (over.length > 0) await sweeps.once(() => writeGuards(store))
    for (const batch of inBatches(over)) {
      if (engine.closing) return
      const newest = batch.at(-1) as OldAuditValue
      const deletes = batch.flatMap(({ keys }) => keys.map((key) => ({ key })))
      await store.put('', [...deletes, deletedOperation(linkOfOld(newest))])
      await turn()
    }
    crowdedOut = over.findLast(({ at }) => at >= keptSince) ?? crowdedOut
    if (kept >= 0 || last === undefined) break
    after = last
  }
  if (crowdedOut === undefined) return
  const until = new Date(crowdedOut.at).toISOString()
  logger.warn('Audit entries were deleted before `auditRetention` was over: `auditBytesMax` was reached', {
    auditBytesMax,
    until,
  })
}

/** Values with about `KEYS_PER_COMMIT` keys at a time. */
function inBatches(values: readonly OldAuditValue[]): OldAuditValue[][] {
  const batches: OldAuditValue[][] = []
  let keys = KEYS_PER_COMMIT
  for (const value of values) {
    const batch = batches.at(-1)
    if (batch && keys < KEYS_PER_COMMIT) batch.push(value)
    else {
      batches.push([value])
      keys = 0
    }
    keys += value.keys.length
  }
  return batches
}
