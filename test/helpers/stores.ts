/** Stores on disk for tests of verify, backup and repair: with tasks of each kind, settled and unfinished. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { defineTask, Holdfast, type OpenOptions, silentLogger } from 'holdfast'
import { type MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { seal, unseal } from '../../src/store/integrity/envelope.js'

const LARGE = 'x'.repeat(600)

/** Notes each call of a step's function: the keys that were sent to a service. */
export class CallNotes {
  readonly keys: string[] = []

  get repeated(): string[] {
    return this.keys.filter((key, index) => this.keys.indexOf(key) < index)
  }
}

/** The definitions of the tasks of `fillStore`. */
export function storeTasks(notes = new CallNotes()) {
  const call = (step: { readonly idempotencyKey: string }) => void notes.keys.push(step.idempotencyKey)
  const echo = defineTask({ name: 'echo' }, (task, value: string) =>
    task.step('echo', (step) => {
      call(step)
      return value
    }),
  )
  const fail = defineTask({ name: 'fail' }, () => {
    throw new Error('it fails')
  })
  const parent = defineTask({ name: 'parent' }, async (task, _: null) => {
    await task.child(echo, 'of a child')
    return 'done'
  })
  const wait = defineTask({ name: 'wait', undo: { two: () => {} } }, async (task, value: string) => {
    await task.step('one', (step) => call(step))
    await task.saveCheckpoint({ value })
    await task.step('two', (step) => call(step))
    await task.input('ok')
    return task.step('three', (step) => {
      call(step)
      return value
    })
  })
  return { echo, fail, parent, wait }
}

/** IDs of the tasks of a filled store. */
export interface Filled {
  readonly settled: string
  readonly large: string
  readonly child: string
  readonly failed: string
  readonly waiting: string
  readonly sent: string
}

/** Fills an open store with tasks of each kind. @param keyEnd makes the idempotency keys others than before */
export async function fill(
  holdfast: Holdfast,
  { echo, fail, parent, wait }: ReturnType<typeof storeTasks>,
  keyEnd = '',
): Promise<Filled> {
  const settled = await holdfast.forOwner('alice').start(echo, 'small', {
    idempotencyKey: `once${keyEnd}`,
    title: 'a small one',
    attributes: { customer: 'a/17', priority: 3 },
  })
  const large = await holdfast.start(echo, LARGE, { ttl: '30d' })
  const family = await holdfast.start(parent, null)
  const failed = await holdfast.start(fail, undefined)
  const waiting = await holdfast.start(wait, 'small', { idempotencyKey: `waits${keyEnd}` })
  const sent = await holdfast.start(wait, LARGE)
  await holdfast.send(sent.taskId, 'news', { of: 'today' }, { idempotencyKey: 'first' })
  await holdfast.saveCheckpoint(waiting.taskId, { of: 'the client' })
  await untilIdle(holdfast)
  const child = (await holdfast.list({ parent: family.taskId })).tasks[0]?.taskId as string
  return {
    settled: settled.taskId,
    large: large.taskId,
    child,
    failed: failed.taskId,
    waiting: waiting.taskId,
    sent: sent.taskId,
  }
}

/** Makes a filled store in `dir`, and closes it. */
export async function fillStore(dir: string, options: Partial<OpenOptions> = {}): Promise<Filled> {
  const tasks = storeTasks()
  const holdfast = await Holdfast.open({ dir, tasks: Object.values(tasks), logger: silentLogger, ...options })
  const ids = await fill(holdfast, tasks)
  await holdfast.close()
  return ids
}

/** Makes a store in `dir` with tables and logs of each age. */
export async function agedStore(dir: string): Promise<void> {
  // Each opening makes a table of the log before it. A close leaves the newest records in the log.
  for (let opening = 0; opening < 4; opening++) {
    const tasks = storeTasks()
    const holdfast = await Holdfast.open({ dir, tasks: Object.values(tasks), logger: silentLogger })
    for (let times = 0; times < 5; times++) await fill(holdfast, tasks, `${opening}-${times}`)
    await holdfast.close()
    if (opening === 1) await compact(join(dir, 'db'))
  }
}

async function compact(path: string): Promise<void> {
  const level = new ClassicLevel(path)
  await level.open()
  await level.compactRange('a', 'z')
  await level.close()
}

/** Content of the database in a folder, which is opened for that. */
export async function contentOf(path: string): Promise<Map<string, string>> {
  const level = new ClassicLevel<string, string>(path)
  await level.open({ createIfMissing: false })
  const content = new Map(await level.iterator().all())
  await level.close()
  return content
}

/** Makes a filled store in memory. */
export async function fillDisk(disk: MemoryDisk, notes?: CallNotes): Promise<Filled> {
  const tasks = storeTasks(notes)
  const holdfast = await openInMemory({ disk, tasks: Object.values(tasks) })
  const ids = await fill(holdfast, tasks)
  await holdfast.close()
  return ids
}

/** Changes the database of a closed store without the store, as decay or a fault of the library would. */
export async function alter<T>(dir: string, act: (database: Alterable) => Promise<T>): Promise<T> {
  const level = new ClassicLevel<string, string>(join(dir, 'db'), { keyEncoding: 'utf8', valueEncoding: 'utf8' })
  await level.open({ createIfMissing: false })
  try {
    const content = new Map(await level.iterator().all())
    const database = new Alterable(content)
    const result = await act(database)
    for (const key of database.changed) {
      const text = content.get(key)
      await (text === undefined ? level.del(key) : level.put(key, text))
    }
    return result
  } finally {
    await level.close()
  }
}

/** The content of a database, to change it. */
export class Alterable {
  readonly changed = new Set<string>()

  constructor(private readonly content: Map<string, string>) {}

  keys(prefix: string): string[] {
    return [...this.content.keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  get(key: string): string | undefined {
    return this.content.get(key)
  }

  /** The first key with this prefix. */
  first(prefix: string): string {
    const [key] = this.keys(prefix)
    if (key === undefined) throw new Error(`There is no key ${prefix}…`)
    return key
  }

  put(key: string, text: string): void {
    this.changed.add(key)
    this.content.set(key, text)
  }

  del(key: string): void {
    if (!this.content.delete(key)) throw new Error(`There is no key ${key}`)
    this.changed.add(key)
  }

  /** Changes a body, and seals it. With `to`, stores it under another key. */
  change(key: string, change: (body: string) => string, to = key): void {
    const { seq, body } = unseal(key, this.content.get(key) as string)
    this.put(to, seal(to, seq, change(body)))
  }
}

/** ID of the store in a directory. */
export async function storeIdOf(dir: string): Promise<string> {
  return (JSON.parse(await readFile(join(dir, 'holdfast.json'), 'utf8')) as { storeId: string }).storeId
}
