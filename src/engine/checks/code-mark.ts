/**
 * Computes code marks of definitions, so that a task that does not match its code is not retried with it at every open.
 */
import { createHash } from 'node:crypto'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'

// Short, because the mark is in the head of a task. It needs no protection against forgery.
const MARK_CHARS = 12

const marks = new WeakMap<AnyTaskDefinition, string>()

/**
 * A hash of the `version` of a definition and the source text of its body. Functions that the body calls have no
 * effect.
 */
export function codeMark(definition: AnyTaskDefinition): string {
  const there = marks.get(definition)
  if (there !== undefined) return there
  const code = JSON.stringify([
    definition.version ?? null,
    Function.prototype.toString.call(definition.body ?? definition.run),
  ])
  const mark = createHash('sha256').update(code).digest('base64url').slice(0, MARK_CHARS)
  marks.set(definition, mark)
  return mark
}
