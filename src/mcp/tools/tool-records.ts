/**
 * Records of tasks and of calls that a client may repeat:
 *
 *   of a task   origin          tool and kind of the call that created the task; written in the batch that creates it
 *               answer/<era>    answer for clients of a protocol revision, from its first use on
 *   own         rejoin/<account>/<tool>/<hash of the input>/<taskId>   an inline call whose answer is not delivered;
 *               the origin names it, so it is deleted with its task at the latest
 */
import { createHash } from 'node:crypto'
import { canonicalJson, type JsonValue } from '../../base/json.js'
import type { BindingRecords } from '../../store/binding-records.js'
import type { BindingRecord } from '../../task/changes.js'
import type { Trace } from '../../task/trace.js'
import type { Answer } from './answer.js'

/** Origin of a task. */
export interface Origin {
  readonly tool: string
  /**
   * Kind of the call: one that waits for the result, one that requested a task, `start_<tool>`, or a server's own
   * `TaskStore` call.
   */
  readonly kind: 'inline' | 'task' | 'start' | 'store'
  /** Form of the answer. `default` if no function of the author makes it, so that it is always the same. */
  readonly projection: 'default' | 'custom'
  /** Session that created the task. Set only without authentication, where notifications go only to that session. */
  readonly sessionId?: string | undefined
  readonly pollIntervalMs?: number | undefined
  /** Trace of the call that created the task. */
  readonly trace?: Trace | undefined
}

/** The records of both revisions. */
export class McpRecords {
  constructor(readonly records: BindingRecords) {}

  /**
   * Makes the record of a task's origin.
   * @param own keys of records that are deleted with the task at the latest
   */
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

  /** Prefix of the keys under which a repeated call finds the task of one that was given up. */
  rejoinPrefix(account: string, tool: string, input: JsonValue | undefined): string {
    const hash = createHash('sha256').update(canonicalJson(input)).digest('hex')
    return `rejoin/${encodeURIComponent(account)}/${encodeURIComponent(tool)}/${hash}/`
  }
}
