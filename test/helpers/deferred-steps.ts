/** Tasks with deferred steps on a disk in memory, and the records that are on that disk. */
import { defineTask, type TaskContext } from '../../src/index.js'
import { unseal } from '../../src/store/integrity/envelope.js'
import { decodeRecord } from '../../src/task/log/records.js'
import { ManualClock, type MemoryDisk, openInMemory, untilIdle } from '../../src/testing/index.js'

export const DEFERRED = { commit: 'deferred' } as const
/** The names of the records on the disk, in their order; of one task, or of all. */
export function onDisk(disk: MemoryDisk, taskId = ''): string[] {
  const records = [...disk.content].filter(([key]) => key.startsWith(`log/${taskId}`))
  return records
    .map(([key, value]) => decodeRecord(unseal(key, value).body))
    .sort((one, other) => one.seq - other.seq)
    .map((record) => (record.kind === 'checkpoint' ? 'checkpoint' : record.name))
}

/** What never resolves. */
export const never = () => new Promise<never>(() => {})

/** Starts a task of the body on a disk, and waits until it can go no further by itself. */
export async function startOn<Input>(
  disk: MemoryDisk,
  body: (task: TaskContext, input: Input) => unknown,
  { clock = new ManualClock(), ...options }: Partial<Parameters<typeof openInMemory>[0]> & { clock?: ManualClock } = {},
) {
  const definition = defineTask({ name: 'job' }, body as never)
  const holdfast = await openInMemory({ disk, clock, tasks: [definition], ...options })
  const { taskId } = await holdfast.start('job', null, { idempotencyKey: 'k' })
  await untilIdle(holdfast)
  return { holdfast, taskId, clock, disk }
}
