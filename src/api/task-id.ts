/** The ID of a task, as the types know it. */

/** The ID of a task whose output is an `Output`. It is a string, and may be stored and sent as one. */
export type TaskId<Output = unknown> = string & { readonly [outputOf]?: Output }
declare const outputOf: unique symbol

/** What a start answers, with the type of what comes of it. */
export type StartedAs<Output> = { taskId: TaskId<Output>; created: boolean }
