/**
 * The process of short-openings.test.ts: `node --import tsx short-openings-child.mjs <module> <dir>` opens a store, says
 * "open", and reads its tasks until it is killed. A line of standard input closes the store.
 */
const [, , module = '', dir = ''] = process.argv
/** @type {typeof import('holdfast')} */
const { Holdfast } = await import(module)
try {
  const holdfast = await Holdfast.open({ dir })
  console.log('open')
  await holdfast.list({ order: 'oldest' })
  process.stdin.once('data', () => void holdfast.close().then(() => process.exit()))
} catch (error) {
  console.log(/** @type {{ code?: unknown }} */ (error).code)
  process.exitCode = 3
}
