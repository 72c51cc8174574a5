/**
 * Tools as `tools/list` shows them, and the parts of a low-level server's list: such a server has one handler for all its
 * tools, so durable tools, fallback tools and the author's own are merged. Knows no SDK.
 */
import { type ZodType, z } from 'zod'
import type { FallbackDefinition } from './fallback-tools.js'
import type { DurableTool, ToolResult } from './tool.js'

/** Dialect of JSON Schema that an SDK lists tools in. */
export type SchemaTarget = 'draft-7' | 'draft-2020-12'

/** A tool as `tools/list` shows it. */
export interface ListedTool {
  readonly name: string
  readonly [field: string]: unknown
}

/** A fallback tool on a low-level server. */
export interface PlainTool<Context> {
  readonly listed: ListedTool
  readonly run: (args: Record<string, unknown>, context: Context) => Promise<ToolResult>
}

// By dialect and direction. A server is made for every request, and a conversion costs more than the rest of a list.
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

/** The name, the texts and the schemas of a tool, as `McpServer#registerTool` takes them. */
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

/** A durable tool for the list of a low-level server. */
export function listedTool(tool: DurableTool, role: 'call' | 'start', target: SchemaTarget): ListedTool {
  const { inputSchema, outputSchema, ...shown } = configOf(tool, role)
  return {
    ...shown,
    inputSchema: inputSchema ? jsonSchemaOf(inputSchema, 'input', target) : { type: 'object', properties: {} },
    ...(outputSchema ? { outputSchema: jsonSchemaOf(outputSchema, 'output', target) } : {}),
  }
}

/** A fallback tool for a low-level server, which checks no arguments itself. */
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

/** The author's list with our tools before it, on its first page. Of two tools of one name, ours is listed. */
export function mergedList(ours: readonly ListedTool[], params: unknown, theirs: unknown): object {
  const list = theirs as { tools: readonly ListedTool[] }
  if ((params as { cursor?: unknown } | undefined)?.cursor !== undefined) return list
  const names = new Set(ours.map(({ name }) => name))
  return { ...list, tools: [...ours, ...list.tools.filter(({ name }) => !names.has(name))] }
}
