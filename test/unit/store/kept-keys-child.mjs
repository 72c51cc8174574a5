/**
 * The process that kept-keys.test.ts starts: `node --import tsx kept-keys-child.mjs <module> <dir> <tasks>` opens a store with
 * sleeping tasks, and prints how many of their keys are in memory.
 */
import { text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import { getHeapSnapshot } from 'node:v8'

const [, , module = '', dir = '', tasks = ''] = process.argv
/** @type {typeof import('holdfast')} */
const { defineTask, Holdfast } = await import(module)
const nap = defineTask({ name: 'nap' }, (task) => task.sleep('nap', '1d'))
const logger = { debug() {}, info() {}, warn() {}, error() {} }
const open = () => Holdfast.open({ dir, tasks: [nap], unloadAfter: 0, logger })

const first = await open()
for (let started = 0; started < Number(tasks); started++) await first.start(nap, undefined)
while ((await first.stats()).loadedRuns > 0) await turn()
await first.close()
const second = await open()
await second.recovery.done

const { snapshot, nodes, strings } = JSON.parse(await text(getHeapSnapshot()))
const { node_fields: fields, node_types: types } = snapshot.meta
const [typeAt, nameAt] = [fields.indexOf('type'), fields.indexOf('name')]
let keys = 0
for (let at = 0; at < nodes.length; at += fields.length) {
  const [type, name] = [types[0][nodes[at + typeAt]], strings[nodes[at + nameAt]]]
  if (type.includes('string') && /^live\/task-\w{36}$/.test(name)) keys++
}
process.stdout.write(String(keys))
await second.close()
