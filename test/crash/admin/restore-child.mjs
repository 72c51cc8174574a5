/**
 * The process that restore.test.ts kills: `node --import tsx restore-child.mjs <module> <file> <dir>` restores a backup, and
 * prints a line for each progress.
 */
const [, , module = '', file = '', dir = ''] = process.argv
/** @type {typeof import('holdfast/admin')} */
const { restoreBackup } = await import(module)
await restoreBackup({ file, dir, onProgress: ({ phase }) => process.stdout.write(`${phase}\n`) })
