/** The ID of a task, and the arguments of a start, as the types know them. */
import type { TaskDefinition } from '../task/definition/definition.js'

/** The ID of a task whose output is an `Output`. It is a string, and may be stored and sent as one. */
export type TaskId<Output = unknown> = string & { readonly [outputOf]?: Output }
declare const outputOf: unique symbol

/** A definition, or the name of one. */
export type Startable = string | TaskDefinition<never, unknown> | TaskDefinition

/**
 * The input, which may be left out if it may be `undefined`, and the options of a start. A missing input is then "Expected 2-3
 * arguments, but got 1", where an overload for names would say that the definition is no string.
 */
export type StartArguments<Definition, Options> =
  Definition extends TaskDefinition<infer Input, unknown>
    ? undefined extends Input
      ? [input?: Input, options?: Options]
      : [input: Input, options?: Options]
    : [input?: unknown, options?: Options]

/** What a start of `Definition` answers. */
export type StartedOf<Definition> =
  Definition extends TaskDefinition<infer _, infer Output> ? StartedAs<Output> : StartedAs<unknown>

/** What a start answers, with the type of what comes of it. */
export type StartedAs<Output> = { taskId: TaskId<Output>; created: boolean }
