/** Checks inputs and outputs against the schemas of a definition. */
import type { ZodError, ZodType } from 'zod'
import { HoldfastError } from '../../base/errors.js'
import type { AnyTaskDefinition } from '../../task/definition/definition.js'

/**
 * Checks an input, and returns the parsed input. @throws HoldfastError `INVALID_INPUT` with each path and message of
 * zod
 */
export function checkInput(definition: AnyTaskDefinition, input: unknown): Promise<unknown> {
  return check(definition.input, input, (issues) => {
    const said = `The input of task '${definition.name}' does not fit its schema: ${issues}`
    return new HoldfastError('INVALID_INPUT', `${said}. No task was created.`, { details: { type: definition.name } })
  })
}

/**
 * Checks an output, and returns the parsed output. @throws HoldfastError `INVALID_OUTPUT` with each path and message of
 * zod
 */
export function checkOutput(definition: AnyTaskDefinition, output: unknown): Promise<unknown> {
  return check(definition.output, output, (issues) => {
    const said = `The output of task '${definition.name}' does not fit its schema: ${issues}`
    return new HoldfastError('INVALID_OUTPUT', said, { details: { type: definition.name } })
  })
}

async function check(
  schema: ZodType | undefined,
  value: unknown,
  refuse: (issues: string) => HoldfastError,
): Promise<unknown> {
  if (!schema) return value
  const parsed = await schema.safeParseAsync(value)
  if (parsed.success) return parsed.data
  throw refuse(issuesOf(parsed.error))
}

function issuesOf(error: ZodError): string {
  const issues = error.issues.map(({ path, message }) => {
    const where = path.map(String).join('.')
    return where === '' ? message : `\`${where}\`: ${message}`
  })
  return issues.join('; ')
}
