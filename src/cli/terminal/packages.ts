/** The packages that the command line uses. The build puts them into one file, so that no application has to install them. */
export { McpServer } from '@modelcontextprotocol/server'
export { StdioServerTransport } from '@modelcontextprotocol/server/stdio'
export { SingleBar } from 'cli-progress'
export { default as Table } from 'cli-table3'
export { Command, CommanderError, Option } from 'commander'
export { default as colors } from 'picocolors'
