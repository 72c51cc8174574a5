/** Types of a task ID and of the arguments of a start. */
import type { TaskDefinition } from '../task/definition/definition.js'

/** The ID of a task whose output is an `Output`. It is a string, and may be stored and sent as one. */
export type TaskId<Output = unknown> = string & { readonly [outputOf]?: Output }
declare const outputOf: unique symbol

/** A definition, or the name of a definition. */
export type Startable = string | TaskDefinition<never, unknown> | TaskDefinition

/**
 * Arguments of a start after the definition: the input, optional if it may be `undefined`, and the options. A missing
 * input then gives the error "Expected 2-3 arguments, but got 1". An overload for names would report instead that the
 * definition is no string.
 */
export type StartArguments<Definition, Options> =
  Definition extends TaskDefinition<infer Input, unknown>
    ? undefined extends Input
      ? [input?: Input, options?: Options]
      : [input: Input, options?: Options]
    : [input?: unknown, options?: Options]

/** Result of a start of `Definition`. */
export type StartedOf<Definition> =
  Definition extends TaskDefinition<infer _, infer Output> ? StartedAs<Output> : StartedAs<unknown>

/** Result of a start, with the type of the task's output. */
export type StartedAs<Output> = { taskId: TaskId<Output>; created: boolean }
