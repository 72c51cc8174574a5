/** Damage of a store that aborts each process that reads it: LevelDB asserts that a key has at least 8 bytes. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'

/** Changes the closed store in `dir` so that each process that opens it aborts. */
export async function makeAborting(dir: string): Promise<void> {
  const database = join(dir, 'db')
  // A compressed table has no key that one byte shortens.
  const level = new ClassicLevel(database, { compression: false })
  await level.open()
  await level.compactRange('a', 'z')
  await level.close()
  const tables = (await readdir(database)).filter((name) => name.endsWith('.ldb'))
  for (const name of tables) {
    const bytes = await readFile(join(database, name))
    // The length of the first key.
    bytes.writeUInt8(4, 1)
    await writeFile(join(database, name), bytes)
  }
}
