/**
/**
 * The jobs of an instance: verification, backup and compaction of the store that it has open, the export of a task, and verification
 * and export of the audit. One runs at a time: a copy keeps the files that LevelDB deletes meanwhile, and a compaction writes the
 * files anew.
 */
import { createBackup } from '../../admin/create-backup.js'
import { exportAudit } from '../../admin/export-audit.js'
import { streamTask } from '../../admin/export-task.js'
import { verify } from '../../admin/verify.js'
import { verifyAudit } from '../../admin/verify-audit.js'
import { HoldfastError } from '../../base/errors.js'
import { engineOf } from '../../engine/recovery/open-engines.js'
import { compactStore } from '../../engine/retention/compact-store.js'
import type { JobHandlers, JobName } from '../contract/jobs.js'

/** The job that runs, by `Holdfast`. */
const running = new WeakMap<object, JobName>()

/** Makes the jobs of an open `Holdfast`. Each rejects with `LIMIT_EXCEEDED` while another one runs. */
export function storeJobs(holdfast: object): JobHandlers {
  return {
    verify: (_request, { signal, onProgress }) =>
      alone(holdfast, 'verify', () => verify({ holdfast, signal, onProgress })),
    backup: ({ acceptDamage }, { signal, onProgress, bytes: stream }) =>
      alone(holdfast, 'backup', () => createBackup({ holdfast, stream, acceptDamage, signal, onProgress })),
    verifyAudit: ({ head, keptSince }, { signal, onProgress }) =>
      alone(holdfast, 'verifyAudit', () => verifyAudit({ holdfast, head, keptSince, signal, onProgress })),
    exportAudit: (_request, { signal, onProgress, bytes: stream }) =>
      alone(holdfast, 'exportAudit', () => exportAudit({ holdfast, stream, signal, onProgress })),
    compact: (_request, { signal, onProgress }) =>
      alone(holdfast, 'compact', () =>
        compactStore(engineOf(holdfast), {
          signal,
          onProgress: (progress) => onProgress({ phase: 'compact', ...progress }),
        }),
      ),
    exportTask: ({ taskId, redact, move }, { signal, bytes: stream }) =>
      alone(holdfast, 'exportTask', () => streamTask(holdfast, { taskId, redact, move, stream, signal })),
  }
}

async function alone<T>(holdfast: object, name: JobName, act: () => Promise<T>): Promise<T> {
  const other = running.get(holdfast)
  if (other !== undefined) {
    const message = `The server runs a job already (${other}), and runs one at a time. Try again when it has ended.`
    throw new HoldfastError('LIMIT_EXCEEDED', message, { details: { limit: 'jobs', max: 1, running: other } })
  }
  running.set(holdfast, name)
  try {
    return await act()
  } finally {
    running.delete(holdfast)
  }
}
