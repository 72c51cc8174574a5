/** Marks the code of a definition, so that a task which did not fit it is not tried with the same code at every open. */
import { createHash } from 'node:crypto'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'

// Short, since it lies in the head of a task. It is no secret, and guards against nobody.
const MARK_CHARS = 12

const marks = new WeakMap<AnyTaskDefinition, string>()

/** A text that differs where the definition's `version` or the text of its body does. What its body calls is not seen. */
export function codeMark(definition: AnyTaskDefinition): string {
  const there = marks.get(definition)
  if (there !== undefined) return there
  const code = JSON.stringify([definition.version ?? null, Function.prototype.toString.call(definition.body)])
  const mark = createHash('sha256').update(code).digest('base64url').slice(0, MARK_CHARS)
  marks.set(definition, mark)
  return mark
}
