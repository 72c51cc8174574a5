/** The server that kills.test.ts kills, or closes with SIGTERM. node server-child.mjs <URL of the built package> <store> */
import { tasksOf } from './tasks.mjs'

const [, , url = '', dir = ''] = process.argv
/** @type {typeof import('holdfast')} */
const { defineTask, Holdfast, silentLogger } = await import(url)
const holdfast = await Holdfast.open({ dir, tasks: tasksOf(defineTask), logger: silentLogger })
process.once('SIGTERM', () => void holdfast.close({ grace: 0 }).then(() => process.exit(0)))
process.stdout.write('ready\n')
setInterval(() => {}, 60_000)
