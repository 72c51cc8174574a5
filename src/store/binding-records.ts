/**
 * Records that a protocol binding keeps in the store, under keys of its own. The engine never reads them. Records of a
 * task are stored under `beside/` and are deleted with the task. The binding deletes the others itself.
 */
import type { BindingRecord } from '../task/changes.js'
import * as layout from './disk/layout.js'
import { pages } from './disk/pages.js'
import { unseal } from './integrity/envelope.js'
import type { Store } from './store.js'

/** A record that was read. `key` is the binding's own name of the record. */
export interface ReadBindingRecord {
  readonly key: string
  readonly text: string
}

/** Access to the tasks that records are written for. */
export interface TasksInUse {
  /** Runs `act`. The sweeper does not delete the task meanwhile. */
  using<T>(taskId: string, act: () => Promise<T>): Promise<T>
  /** True if the task exists. Waits while the store is down. */
  exists(taskId: string): Promise<boolean>
}

/** The records of one binding, such as `mcp`. */
export class BindingRecords {
  readonly #prefix: string

  /** @param tasks keeps the sweeper from deleting a task while a record of it is written */
  constructor(
    private readonly store: Store,
    private readonly binding: string,
    private readonly tasks: TasksInUse,
  ) {
    this.#prefix = layout.bindingPrefix(binding)
  }

  /** Makes a record of the binding's own. Without a text, the record is deleted. */
  own(key: string, text: string | undefined): BindingRecord {
    return { key: `${this.#prefix}${key}`, text }
  }

  /** Makes a record that belongs to a task. */
  beside(taskId: string, what: string, text: string | undefined): BindingRecord {
    return { key: layout.besideKey(taskId, this.binding, what), text }
  }

  /**
   * Writes all records or none. Resolves once they are on disk. Waits while the store is down. Leaves out the records
   * of a task that is swept already: nothing would ever delete them.
   * @throws HoldfastError `STORE_UNAVAILABLE` for a write that is not `patient`
   */
  async write(records: readonly BindingRecord[], { patient = true }: { patient?: boolean } = {}): Promise<void> {
    if (records.length === 0) return
    const first = records.find(({ key, text }) => text !== undefined && layout.taskOfBeside(key) !== undefined)
    const taskId = first && layout.taskOfBeside(first.key)
    if (taskId === undefined) return this.store.commitBinding(records, { patient })
    const others = records.filter(({ key }) => layout.taskOfBeside(key) !== taskId)
    await this.tasks.using(taskId, async () => {
      if (await this.tasks.exists(taskId)) await this.store.commitBinding(records, { patient })
      else await this.write(others, { patient })
    })
  }

  /**
   * Reads a record of the binding's own.
   * @throws HoldfastError `RECORD_DAMAGED`, `STORE_UNAVAILABLE`
   */
  get(key: string): Promise<string | undefined> {
    return this.#read(`${this.#prefix}${key}`)
  }

  /**
   * Reads a record of a task.
   * @throws HoldfastError `RECORD_DAMAGED`, `STORE_UNAVAILABLE`
   */
  getBeside(taskId: string, what: string): Promise<string | undefined> {
    return this.#read(layout.besideKey(taskId, this.binding, what))
  }

  /** Reads the own records whose keys begin with `prefix` and sort after `after`, in the order of their keys. */
  list(prefix: string, range: { after?: string } = {}): Promise<ReadBindingRecord[]> {
    return this.collect(prefix, (record) => record, range)
  }

  /** Reads records as `list` does, and returns `take` of each. So large records do not stay in memory. */
  async collect<T>(
    prefix: string,
    take: (record: ReadBindingRecord) => T,
    { after }: { after?: string } = {},
  ): Promise<T[]> {
    const range = this.#rangeOf(prefix, after)
    return this.store.read(async (level) => {
      const found: T[] = []
      for await (const page of pages(level, range)) {
        for (const [key, text] of page)
          found.push(take({ key: key.slice(this.#prefix.length), text: unseal(key, text).body }))
      }
      return found
    })
  }

  /** Reads the keys that begin with `prefix`, in order, without the records: the first `max` of them. */
  async keys(prefix: string, max?: number): Promise<string[]> {
    const range = { ...this.#rangeOf(prefix), values: false, ...(max === undefined ? {} : { limit: max }) }
    return this.store.read(async (level) => {
      const found: string[] = []
      for await (const page of pages(level, range)) {
        for (const [key] of page) found.push(key.slice(this.#prefix.length))
      }
      return found
    })
  }

  /**
   * Lists the different parts that follow `prefix` in keys, up to the next `/`. Takes one read for each part,
   * regardless of the number of records that share the part.
   * @param prefix ends in `/`
   */
  async parts(prefix: string): Promise<string[]> {
    const { gte, lt } = this.#rangeOf(prefix)
    return this.store.read(async (level) => {
      const found: string[] = []
      for (let from = gte; ; ) {
        const [first] = await level.page({ gte: from, lt, values: false }, 1)
        if (!first) return found
        const [part = ''] = first[0].slice(gte.length).split('/')
        found.push(part)
        // The first key after all of `<prefix><part>/…`: `0` is the character after `/`.
        from = `${gte}${part}0`
      }
    })
  }

  /** Reads the records of a task whose names begin with `prefix`, in the order of their names. */
  async listBeside(taskId: string, prefix: string): Promise<ReadBindingRecord[]> {
    const from = layout.besideKey(taskId, this.binding, prefix)
    const all = layout.besideKey(taskId, this.binding, '')
    return this.store.read(async (level) => {
      const found: ReadBindingRecord[] = []
      for await (const page of pages(level, { gte: from, lt: `${from}\uffff` })) {
        for (const [key, text] of page) found.push({ key: key.slice(all.length), text: unseal(key, text).body })
      }
      return found
    })
  }

  #rangeOf(prefix: string, after?: string): layout.KeyRange {
    const from = `${this.#prefix}${prefix}`
    return { gte: after === undefined ? from : `${this.#prefix}${after}\u0000`, lt: `${from}\uffff` }
  }

  async #read(key: string): Promise<string | undefined> {
    const text = await this.store.read((level) => level.get(key))
    return text === undefined ? undefined : unseal(key, text).body
  }
}
