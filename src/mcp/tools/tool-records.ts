/**
 * What the bindings keep of tasks, and of calls that a client may come back to:
 *
 *   beside the task   origin          which tool it came from, and how; written in the batch that creates it
 *                     answer/<era>    what clients of a protocol revision were told of its end, from the first time on
 *   own               rejoin/<account>/<tool>/<hash of the input>/<taskId>   an inline call whose answer is not delivered;
 *                     the origin names it, so it is deleted with its task at the latest
 */
import { createHash } from 'node:crypto'
import { canonicalJson, type JsonValue } from '../../base/json.js'
import type { BindingRecords } from '../../store/binding-records.js'
import type { BindingRecord } from '../../task/changes.js'
import type { Answer } from './answer.js'
import type { Trace } from './trace.js'

/** Where a task came from. */
export interface Origin {
  readonly tool: string
  /** A call that waits for the result, one that asked for a task, `start_<tool>`, or a server's own `TaskStore` call. */
  readonly kind: 'inline' | 'task' | 'start' | 'store'
  /** `default`: nobody's function shapes the answer, so it is the same whenever it is computed. */
  readonly projection: 'default' | 'custom'
  /** Only without authentication, where notifications go to the session that made the task. */
  readonly sessionId?: string | undefined
  readonly pollIntervalMs?: number | undefined
  /** The trace of the call that made it. */
  readonly trace?: Trace | undefined
}

/** The records of both revisions. */
export class McpRecords {
  constructor(readonly records: BindingRecords) {}

  /** @param own keys of records that are deleted with the task at the latest */
  origin(taskId: string, origin: Origin, own: readonly string[] = []): BindingRecord {
    return this.records.beside(taskId, 'origin', JSON.stringify(own.length === 0 ? origin : { ...origin, own }))
  }

  async readOrigin(taskId: string): Promise<Origin | undefined> {
    const text = await this.records.getBeside(taskId, 'origin')
    return text === undefined ? undefined : (JSON.parse(text) as Origin)
  }

  async readAnswer(taskId: string, era: string): Promise<Answer | undefined> {
    const text = await this.records.getBeside(taskId, `answer/${era}`)
    return text === undefined ? undefined : (JSON.parse(text) as Answer)
  }

  writeAnswer(taskId: string, era: string, answer: Answer): Promise<void> {
    return this.records.write([this.records.beside(taskId, `answer/${era}`, JSON.stringify(answer))])
  }

  /** Under what a repeated call finds the task of one that was given up. */
  rejoinPrefix(account: string, tool: string, input: JsonValue | undefined): string {
    const hash = createHash('sha256').update(canonicalJson(input)).digest('hex')
    return `rejoin/${encodeURIComponent(account)}/${encodeURIComponent(tool)}/${hash}/`
  }
}
