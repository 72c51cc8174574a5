/** A tool of one function: the options of its task and of the tool, in one object, taken apart. */
import type { ZodType } from 'zod'
import { checkOptionsOf, type Names } from '../../base/expected.js'
import {
  type AnyTaskDefinition,
  defineTask,
  FUNCTION_TASK_OPTIONS,
  type FunctionTaskOptions,
  type InputOf,
  type OutputOf,
  type TaskDefinition,
} from '../../task/definition/definition.js'
import { TOOL_OPTIONS, type ToolOptions } from './tool.js'

/**
 * The options of `durable.tool` for a tool of one function: those of its task, and those of the tool. The parameter of
 * `toResult` has a type if `output` is given, or if the function names the type.
 */
export interface FunctionToolOptions<
  Input extends ZodType | undefined,
  Output extends ZodType | undefined,
  Given,
  Returned,
> extends Omit<FunctionTaskOptions<Input, Output, Given, Returned>, 'name'>,
    Omit<ToolOptions<InputOf<NoInfer<Input>, NoInfer<Given>>, OutputOf<NoInfer<Output>, NoInfer<Returned>>>, 'name'> {}

/** The options of `durable.tool`, by its first parameter: a definition, or the name of a tool of one function. */
export type ToolArguments<Given, I extends ZodType | undefined, O extends ZodType | undefined, Input, Returned> = [
  Given,
] extends [TaskDefinition<infer TaskInput, infer TaskOutput>]
  ? ToolOptions<TaskInput, TaskOutput>
  : [Given] extends [string]
    ? FunctionToolOptions<I, O, Input, Returned>
    : ToolOptions<never, never>

type AnyOptions = FunctionToolOptions<ZodType | undefined, ZodType | undefined, never, unknown>

const { name: _task, ...OF_THE_TASK } = FUNCTION_TASK_OPTIONS
const { name: _tool, ...OF_THE_TOOL } = TOOL_OPTIONS
const NAMES = { ...OF_THE_TASK, ...OF_THE_TOOL } as Names<AnyOptions>

/**
 * The definition and the options of the tool.
 * @throws TypeError for an option of the wrong type, with its name
 */
export function toolParts(
  given: AnyTaskDefinition | string,
  options: unknown = {},
): { readonly definition: TaskDefinition; readonly options: ToolOptions } {
  if (typeof given !== 'string') return { definition: given as TaskDefinition, options: options as ToolOptions }
  checkOptionsOf<AnyOptions>('durable.tool', options, NAMES)
  const entries = Object.entries(options)
  const partOf = (names: object) => Object.fromEntries(entries.filter(([name]) => Object.hasOwn(names, name)))
  const definition = defineTask({ run: undefined as never, ...partOf(OF_THE_TASK), name: given })
  return { definition: definition as TaskDefinition, options: partOf(OF_THE_TOOL) }
}
