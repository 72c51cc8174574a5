/** Random damage of the files of a database, as disks and people make it. */
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Kinds of damage of a file, and their share. Most are single bits, since these are the hardest to notice. */
const KINDS = [
  ['flip', 0.6],
  ['cut', 0.1],
  ['zeros', 0.1],
  ['garbage', 0.1],
  ['swap', 0.05],
  ['delete', 0.05],
] as const

/** Makes damage. */
export class Damages {
  constructor(private readonly random: () => number) {}

  /** Damages one file of the database of a store. Returns a description. */
  async make(dir: string): Promise<string> {
    const names = (await readdir(join(dir, 'db'))).filter((name) => /ldb$|log$|MANIFEST|CURRENT/.test(name))
    const name = names[this.#upTo(names.length)] as string
    const path = join(dir, 'db', name)
    const kind = this.#kind()
    if (kind === 'delete') {
      await rm(path)
      return `${name} deleted`
    }
    const bytes = await readFile(path)
    const at = this.#upTo(bytes.length)
    const length = Math.min(1 + this.#upTo(4_096), bytes.length - at)
    const what = `${name}: ${kind} of ${length} bytes at byte ${at}`
    switch (kind) {
      case 'flip': {
        const bit = this.#upTo(8)
        bytes[at] = (bytes[at] as number) ^ (1 << bit)
        await writeFile(path, bytes)
        return `${name}: bit ${bit} of byte ${at}`
      }
      case 'cut':
        await truncate(path, at)
        return `${name} cut at ${at}`
      case 'zeros':
        bytes.fill(0, at, at + length)
        break
      case 'garbage':
        for (let index = at; index < at + length; index++) bytes[index] = this.#upTo(256)
        break
      case 'swap':
        bytes.copyWithin(at, this.#upTo(bytes.length - length + 1), bytes.length)
    }
    await writeFile(path, bytes)
    return what
  }

  #upTo(end: number): number {
    return Math.floor(this.random() * end)
  }

  #kind(): (typeof KINDS)[number][0] {
    let at = this.random()
    for (const [kind, share] of KINDS) {
      at -= share
      if (at < 0) return kind
    }
    return 'flip'
  }
}
