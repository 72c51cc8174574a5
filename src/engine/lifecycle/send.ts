/** Sends a message to a task. The message is stored until the body receives it, so an early message is not lost. */
import { createHash } from 'node:crypto'
import { HoldfastError } from '../../base/errors.js'
import { canonicalJson, fromJson, toJson } from '../../base/json.js'
import { readMessageKey, readMessageKeys } from '../../store/reads.js'
import { bytesOf } from '../../task/byte-count.js'
import { droppedMessageKeys, MESSAGE_KEYS_DROPPED_MAX, type MessageKey, messageKeyUsage } from '../../task/message.js'
import { checkName, NAME_BYTES_MAX } from '../../task/names.js'
import { messagesOf } from '../calls/receive.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/** Result of `send`, once the message is durable. */
export interface Sent {
  /** Number of the message among the messages of the task, from 0. */
  readonly order: number
  /** `false` if the idempotency key had a message already. */
  readonly created: boolean
}

/** Sends a message to the task that `find` returns. */
export async function send(
  engine: Engine,
  taskId: string,
  find: () => Promise<LiveTask>,
  name: string,
  payload: unknown,
  { idempotencyKey: key, by }: { idempotencyKey: string | undefined; by: string },
): Promise<Sent> {
  checkName(name, 'name', NAME_BYTES_MAX.step)
  const { resultBytesMax: bytesMax, messagesPerTaskMax: max } = engine.limits
  const text = toJson(payload, { what: `message '${name}'`, bytesMax, option: 'limits.resultBytesMax' }) ?? ''
  const fingerprint = createHash('sha256')
    .update(`${name}\n${canonicalJson(fromJson(text || undefined))}`)
    .digest('hex')
  const sentBefore = async (): Promise<Sent | undefined> => {
    const sent = key === undefined ? undefined : await engine.store.read((level) => readMessageKey(level, taskId, key))
    if (sent && sent.fingerprint !== fingerprint) throw conflict(taskId, key as string)
    return sent && { order: sent.order, created: false }
  }
  let task: LiveTask
  try {
    task = await find()
  } catch (error) {
    // A caller that repeats a `send` after a lost reply gets the first result, even if the task has ended since.
    const isOver = error instanceof HoldfastError && error.code === 'TASK_SETTLED'
    const before = isOver ? await sentBefore() : undefined
    if (before) return before
    throw error
  }
  await engine.usage.load(task.head.owner)
  return engine.keys.run(messagesOf(taskId), async () => {
    const before = await sentBefore()
    if (before) return before
    if ((task.head.messages ?? 0) >= max) throw tooMany(taskId, max)
    const order = task.head.messagesSent ?? 0
    const entry = key === undefined ? undefined : { key, order, fingerprint }
    engine.usage.assertRoom(task.head.owner, bytesOf(text) + (entry ? messageKeyUsage(entry) : 0))
    const droppedKeys = entry && (await oldestKeys(engine, task))
    await engine.recordForCaller(task, { kind: 'send', message: { name, order, text }, key: entry, droppedKeys, by })
    engine.hasNews(task)
    return { order, created: true }
  })
}

/** The oldest keys, to drop for a new one. Reads them only when a full set can be dropped, so most sends read none. */
async function oldestKeys(engine: Pick<Engine, 'limits' | 'store'>, { taskId, head }: LiveTask): Promise<MessageKey[]> {
  const { messagesPerTaskMax: max } = engine.limits
  if ((head.messageKeys ?? 0) < max + MESSAGE_KEYS_DROPPED_MAX - 1) return []
  return droppedMessageKeys(await engine.store.read((level) => readMessageKeys(level, taskId)), max)
}

function conflict(taskId: string, key: string): HoldfastError {
  return new HoldfastError(
    'IDEMPOTENCY_CONFLICT',
    `The idempotency key '${key}' sent another message to task ${taskId}. Use another key, or the same message.`,
    { details: { taskId, idempotencyKey: key } },
  )
}

function tooMany(taskId: string, max: number): HoldfastError {
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `${max} messages wait for task ${taskId} already (option \`limits.messagesPerTaskMax\`). Send again when it has received some.`,
    { details: { taskId, max, option: 'limits.messagesPerTaskMax' } },
  )
}
