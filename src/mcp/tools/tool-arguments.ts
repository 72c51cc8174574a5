/** Arguments of a call: checks of their size and schema, and the author's functions that convert them. */
import { HoldfastError, isProtocolError, ProtocolError } from '../../base/errors.js'
import type { JsonUse } from '../../base/json.js'
import { StoreHeld } from '../access/not-open.js'
import type { CheckedDurableOptions } from '../access/options.js'
import { invalidParams } from '../access/refusal.js'
import { thrownMessageOf } from './answer.js'
import type { CallExtra, DurableTool, InputRequired, ToolResult } from './tool.js'

/** Key in `_meta` under which a client names a call, so that a repeat joins the first one. */
const IDEMPOTENCY_META = 'holdfast/idempotencyKey'

/** Error of arguments that do not fit the tool. */
export class InvalidArguments extends Error {
  override readonly name = 'InvalidArguments'
}

/**
 * Makes a tool result of an error that a model can react to (other arguments, or another idempotency key) or a person
 * can correct (another copy of the server). `undefined` for any other error.
 */
export function toolErrorOf(error: unknown): ToolResult | undefined {
  const isForTheModel =
    error instanceof InvalidArguments ||
    error instanceof StoreHeld ||
    (error instanceof HoldfastError && error.code === 'RESULT_GONE')
  return isForTheModel ? { content: [{ type: 'text', text: error.message }], isError: true } : undefined
}

/** Description and limit of a tool's input, for `toPlain`. */
export function inputUse(tool: DurableTool, bytesMax: number): JsonUse {
  return { what: `the input of tool '${tool.name}'`, bytesMax, option: 'limits.inputBytesMax' }
}

/**
 * Checks the size of the arguments as JSON, before they are converted.
 * @throws InvalidArguments if they are larger than an input may be
 */
export function checkArgumentBytes(tool: DurableTool, args: unknown, inputBytesMax: number): void {
  const { bytesMax, option } = inputUse(tool, inputBytesMax)
  const text = args === undefined ? '' : JSON.stringify(args)
  if (text.length * 3 <= bytesMax) return
  const bytes = Buffer.byteLength(text)
  if (bytes <= bytesMax) return
  throw new InvalidArguments(
    `The arguments of tool ${tool.name} take ${bytes} bytes as JSON; the limit is ${bytesMax} (option \`${option}\`)`,
  )
}

export function isInputRequired(input: unknown): input is InputRequired {
  return typeof input === 'object' && input !== null && 'resultType' in input && input.resultType === 'input_required'
}

export async function parseArguments(tool: DurableTool, args: unknown): Promise<unknown> {
  if (!tool.inputSchema) return args ?? {}
  const parsed = await tool.inputSchema.safeParseAsync(args ?? {})
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(
    ({ path, message }) => `${path.map(String).join('.') || 'arguments'}: ${message}`,
  )
  throw new InvalidArguments(`Invalid arguments for tool ${tool.name}: ${issues.join('; ')}`)
}

/** Calls the author's functions with the arguments. An error that they throw becomes an error for the client. */
export async function mapped(tool: DurableTool, args: unknown, extra: CallExtra) {
  try {
    const input = tool.toInput ? await tool.toInput(args, extra) : args
    return { input, ownKey: tool.toIdempotencyKey?.(args, extra) }
  } catch (error) {
    if (!(error instanceof Error)) throw new InvalidArguments(String(error))
    if (!isProtocolError(error)) throw new InvalidArguments(error.message)
    throw new ProtocolError(error.code, thrownMessageOf(error), error.data)
  }
}

const KEY_BYTES_MAX = 200

export function givenKey(meta: Record<string, unknown> | undefined): string | undefined {
  const key = meta?.[IDEMPOTENCY_META]
  if (key === undefined || typeof key === 'string') return key
  throw invalidParams(`_meta['${IDEMPOTENCY_META}'] must be a string`)
}

export function scopedKey(access: CheckedDurableOptions['access'], account: string, key: string): string {
  if (Buffer.byteLength(key) > KEY_BYTES_MAX || key === '' || /\p{Cc}|\p{Cs}/u.test(key)) {
    throw invalidParams(`An idempotency key is 1 to ${KEY_BYTES_MAX} bytes of text without control characters`)
  }
  return access === 'open' ? `${account} ${key}` : key
}
