/** The clients that are tried, and the revisions of the server that each is tried on. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Speaks } from './server-job.js'

/** A client beside one kind of server. */
export interface Row {
  /** The adapter's name in `installed`. */
  readonly client: string
  readonly package: string
  readonly speaks: Speaks
}

const both = (client: string, name: string): Row[] => [
  { client, package: name, speaks: 'both' },
  { client, package: name, speaks: '2025-11-25' },
]
const one = (client: string, name: string): Row => ({ client, package: name, speaks: 'both' })

/** Clients that know one revision only are tried once. */
export const ROWS: readonly Row[] = [
  one('sdk', '@modelcontextprotocol/sdk'),
  ...both('client', '@modelcontextprotocol/client'),
  ...both('ext-tasks', '@modelcontextprotocol/ext-tasks'),
  ...both('inspector', '@modelcontextprotocol/inspector'),
  one('mcp-use', 'mcp-use'),
  ...both('ai-sdk', '@ai-sdk/mcp'),
  one('langchain', '@langchain/mcp-adapters'),
  ...both('openai-agents', '@openai/agents'),
  ...both('mastra', '@mastra/mcp'),
]

/** Which version of a package is installed for the trials. */
export function versionOf(name: string): string {
  const { devDependencies } = JSON.parse(
    readFileSync(fileURLToPath(new URL('./installed/package.json', import.meta.url)), 'utf8'),
  ) as { devDependencies: Record<string, string> }
  return devDependencies[name] as string
}
