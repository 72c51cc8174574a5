// Prints the keys and bodies of a store, one line each: node read-store.mjs <copy of a store> [prefix of the keys].
// Give it a copy. LevelDB changes files when it opens them, and a second process may not open a store that is in use.
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'

const [dir, prefix = ''] = process.argv.slice(2)
if (dir === undefined) throw new Error('Usage: node read-store.mjs <copy of a store> [prefix]')
const db = new ClassicLevel(join(dir, 'db'), { createIfMissing: false })
await db.open()
for await (const [key, value] of db.iterator({ gte: prefix, lt: `${prefix}\u{10ffff}` })) {
  // A value is `1 <checksum> <commit number> <body>`.
  const body = value.split(' ').slice(3).join(' ')
  process.stdout.write(`${key} ${body}\n`)
}
await db.close()
