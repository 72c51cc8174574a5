/** Schemas as tools list them, converted once: a server is made for every request. */
import { type ZodType, z } from 'zod'

const known = { input: new WeakMap<ZodType, unknown>(), output: new WeakMap<ZodType, unknown>() }

export function jsonSchemaOf(schema: ZodType, io: 'input' | 'output'): unknown {
  const there = known[io].get(schema)
  if (there !== undefined) return there
  const made = z.toJSONSchema(schema, { io })
  known[io].set(schema, made)
  return made
}
