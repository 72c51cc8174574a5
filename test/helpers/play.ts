/** Plays a body on a disk until its task ends, parks, or its process dies; played again, it goes on with what is left. */
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, type HoldfastError, type OpenOptions, type TaskContext } from '../../src/index.js'
import { type MemoryDisk, openInMemory } from '../../src/testing/index.js'

/** How it came out. */
export interface Played {
  /** The process died. */
  readonly died: boolean
  readonly output?: unknown
  /** What `result()` rejected with. */
  readonly error?: HoldfastError
  readonly code?: string
  /** Every message of the error and its causes. */
  readonly message: string
}

export type Body = (task: TaskContext) => unknown

/** Runs `body` as the one task on `disk`. */
export async function play(
  disk: MemoryDisk,
  body: Body,
  { waitParked = false, ...options }: Partial<OpenOptions> & { waitParked?: boolean } = {},
): Promise<Played> {
  const task = defineTask({ name: 'case' }, body)
  const holdfast = await openInMemory({ ...options, disk, tasks: [task] })
  const died = new Promise<Played>((resolve) => disk.onDeath(() => resolve({ died: true, message: '' })))
  const ended = await Promise.race([died, endOf()])
  if (!ended.died) await holdfast.close({ grace: 0 })
  return ended

  async function endOf(): Promise<Played> {
    const { taskId } = await holdfast.start('case', undefined, { idempotencyKey: 'the one' })
    try {
      return { died: false, output: await holdfast.result(taskId, { waitParked }), message: '' }
    } catch (thrown) {
      const error = thrown as HoldfastError
      return { died: false, error, code: error.code, message: messagesOf(error) }
    }
  }
}

/** A step's function in which the process dies, the first time it is called; after that it is like any other. */
export function dies(disk: MemoryDisk): () => Promise<string> {
  let alive = true
  return () => {
    if (!alive) return Promise.resolve('survived')
    alive = false
    disk.crash()
    return new Promise(() => {})
  }
}

/** What a call is refused with: its code, or `'not refused'`. */
export async function refusal(call: () => Promise<unknown>): Promise<string> {
  try {
    await call()
    return 'not refused'
  } catch (error) {
    return (error as HoldfastError).code
  }
}

/** A wait that is not a step. */
export const bareWait = () => sleep(2)

function messagesOf(error: Error): string {
  return error.cause instanceof Error ? `${error.message}\n${messagesOf(error.cause)}` : error.message
}
