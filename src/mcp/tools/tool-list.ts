/**
 * Tools in the form of `tools/list`, and the merge of a low-level server's list. Such a server has one handler for all
 * its tools, so durable tools, fallback tools and the author's own are merged. Imports no SDK.
 */
import { type ZodType, z } from 'zod'
import type { FallbackDefinition } from './fallback-tools.js'
import type { DurableTool, ToolResult } from './tool.js'

/** Dialect of JSON Schema in which an SDK lists tools. */
export type SchemaTarget = 'draft-7' | 'draft-2020-12'

/** A tool in the form of `tools/list`. */
export interface ListedTool {
  readonly name: string
  readonly [field: string]: unknown
}

/** A fallback tool on a low-level server. */
export interface PlainTool<Context> {
  readonly listed: ListedTool
  readonly run: (args: Record<string, unknown>, context: Context) => Promise<ToolResult>
}

// Converted schemas by dialect and direction. A server is created for every request, and a conversion costs more than
// the rest of a list.
const converted = new Map<string, WeakMap<ZodType, unknown>>()

function jsonSchemaOf(schema: ZodType, io: 'input' | 'output', target: SchemaTarget): unknown {
  const key = `${target} ${io}`
  const known = converted.get(key) ?? new WeakMap<ZodType, unknown>()
  converted.set(key, known)
  const there = known.get(schema)
  if (there !== undefined) return there
  const made = z.toJSONSchema(schema, { io, target })
  known.set(schema, made)
  return made
}

/** Name, texts and schemas of a tool, in the form of `McpServer#registerTool`. */
export function configOf(tool: DurableTool, role: 'call' | 'start') {
  const { title, description, annotations, _meta, inputSchema, outputSchema } = tool
  const how = `Starts ${tool.name} in the background and returns its taskId at once, instead of waiting for the result.`
  const said = role === 'call' ? description : description ? `${how} ${description}` : how
  return {
    name: role === 'call' ? tool.name : (tool.startName as string),
    ...(title ? { title } : {}),
    ...(said ? { description: said } : {}),
    ...(annotations ? { annotations } : {}),
    ...(_meta ? { _meta } : {}),
    ...(inputSchema ? { inputSchema } : {}),
    ...(role === 'call' && outputSchema ? { outputSchema } : {}),
  }
}

/** Makes the entry of a durable tool for the list of a low-level server. */
export function listedTool(tool: DurableTool, role: 'call' | 'start', target: SchemaTarget): ListedTool {
  const { inputSchema, outputSchema, ...shown } = configOf(tool, role)
  return {
    ...shown,
    inputSchema: inputSchema ? jsonSchemaOf(inputSchema, 'input', target) : { type: 'object', properties: {} },
    ...(outputSchema ? { outputSchema: jsonSchemaOf(outputSchema, 'output', target) } : {}),
  }
}

/** Makes a fallback tool for a low-level server. Such a server does not check arguments, so the tool does. */
export function plainTool<Context>(
  name: string,
  { title, description, annotations, inputSchema, outputSchema }: FallbackDefinition,
  target: SchemaTarget,
  run: PlainTool<Context>['run'],
): PlainTool<Context> {
  return {
    listed: {
      name,
      title,
      description,
      annotations,
      inputSchema: jsonSchemaOf(inputSchema, 'input', target),
      outputSchema: jsonSchemaOf(outputSchema, 'output', target),
    },
    run: async (args, context) => {
      const parsed = inputSchema.safeParse(args)
      if (parsed.success) return run(parsed.data, context)
      return { content: [{ type: 'text', text: `Invalid arguments: ${parsed.error.message}` }], isError: true }
    },
  }
}

/**
 * Merges the lists of tools: durable and fallback tools, and then the author's. The first two are only on the first page,
 * and replace a tool of the author with the same name.
 */
export function mergedList(ours: readonly ListedTool[], params: unknown, theirs: unknown): object {
  const list = theirs as { tools: readonly ListedTool[] }
  if ((params as { cursor?: unknown } | undefined)?.cursor !== undefined) return list
  const names = new Set(ours.map(({ name }) => name))
  return { ...list, tools: [...ours, ...list.tools.filter(({ name }) => !names.has(name))] }
}
