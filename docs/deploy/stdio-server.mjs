import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer } from '@modelcontextprotocol/server'
import { Holdfast } from 'holdfast'
import * as legacyEra from 'holdfast/mcp/2025-11-25'
import * as modernEra from 'holdfast/mcp/2026-07-28'
import { importFlights, info } from './flights.mjs'

const dir = process.env['DIR'] ?? '/var/lib/flights'

/** Opens the store when a client needs it. @param {modernEra.GivenOptions} given */
const open = (given) => Holdfast.open({ dir, ...given })

const modern = modernEra.durableTasks(open, { access: 'local' })
const legacy = legacyEra.durableTasks(open, { access: 'local' })
for (const durable of [modern, legacy]) {
  durable.tool(importFlights, { description: 'Imports flights, page by page.' })
}

const createModern = () => modern.attach(new McpServer(info, modern.serverOptions()))
const createLegacy = () => legacy.attach(new LegacyServer(info, legacy.serverOptions()))
modern.serveStdio(createModern, { legacy: (transport) => createLegacy().connect(transport) })
