/** Decides changes of the attributes of a task. Pure. The audit has the names, and not the values. */
import { HoldfastError } from '../../base/errors.js'
import {
  ATTRIBUTES_MAX,
  type AttributeChanges,
  type MergedAttributes,
  mergeAttributes,
  type TaskAttributes,
} from '../attributes.js'
import { attributeUsage, grownCount } from '../byte-count.js'
import { attributesOf, type HeadDraft, type TaskHead } from '../head.js'
import { describeError, type TaskError } from '../log/outcome.js'
import type { Entry } from './decide.js'

/** A change of attributes before it is written into a head. */
export interface AttributesPlan {
  readonly attributes: TaskAttributes
  /** Names that change, for people. */
  readonly changed: readonly string[]
  /** Bytes by which the task grows. May be negative. */
  readonly bytes: number
}

/**
 * Plans a change of the attributes of a task.
 * @throws HoldfastError `LIMIT_EXCEEDED` if the task would have more than fit
 */
export function planAttributes(head: TaskHead, changes: AttributeChanges): AttributesPlan {
  const before = attributesOf(head)
  const { attributes, changed } = mergedWithin(head.taskId, before, changes)
  return { attributes, changed, bytes: attributeUsage(undefined, attributes) - attributeUsage(undefined, before) }
}

/** Writes the plan into the head. Returns the audit entry; none if no attribute changes. */
export function applyAttributes(head: HeadDraft, plan: AttributesPlan, by: string): Entry | undefined {
  if (plan.changed.length === 0) return undefined
  head.changedAttributes = plan.attributes
  head.bytes = grownCount(head, plan.bytes)
  return { at: head.updatedAt, action: 'attributes-set', by, why: plan.changed.join(', ') }
}

/** The audit entry of a change that a body makes, or the error of its record. */
export type RecordedAttributes =
  | { readonly entry: Entry | undefined; readonly failed?: undefined }
  | { readonly entry?: undefined; readonly failed: TaskError }

/** Writes a change that a body makes into the head. One that does not fit is refused in the record, and so in every replay. */
export function recordAttributes(head: HeadDraft, changes: AttributeChanges): RecordedAttributes {
  try {
    return { entry: applyAttributes(head, planAttributes(head, changes), 'body') }
  } catch (error) {
    return { failed: describeError(error) }
  }
}

/**
 * The attributes of a new task.
 * @param source task that it is forked from: the given attributes are merged into its own
 * @throws HoldfastError `LIMIT_EXCEEDED` if a fork would have more than fit
 */
export function attributesOfNew(
  taskId: string,
  given: AttributeChanges | undefined,
  source?: TaskHead,
): TaskAttributes | undefined {
  const { attributes } = mergedWithin(taskId, source && attributesOf(source), given ?? {})
  return Object.keys(attributes).length === 0 ? undefined : attributes
}

/** Names of the attributes of a new task, for its audit entry. */
export function namesIn(attributes: TaskAttributes | undefined): string | undefined {
  return attributes && `attributes ${Object.keys(attributes).join(', ')}`
}

function mergedWithin(taskId: string, before: TaskAttributes | undefined, changes: AttributeChanges): MergedAttributes {
  const merged = mergeAttributes(before, changes)
  const count = Object.keys(merged.attributes).length
  if (count > ATTRIBUTES_MAX) throw tooMany(taskId, count)
  return merged
}

function tooMany(taskId: string, count: number): HoldfastError {
  const said = `Task ${taskId} would have ${count} attributes; ${ATTRIBUTES_MAX} fit`
  return new HoldfastError('LIMIT_EXCEEDED', `${said}. Remove some in the same call: set them to \`null\`.`, {
    details: { taskId, max: ATTRIBUTES_MAX },
  })
}
