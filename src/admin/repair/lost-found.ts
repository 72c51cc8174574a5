/**
 * The lost-found file of a repair: each record that was taken out of the store, a line of JSON each, with its key, its text as
 * it was stored, and the reason. Nothing reads it but people and their scripts.
 */
const CHUNK_CHARS = 256 * 1024

/** Writes the file. */
export class LostFound {
  /** Number of records in the file. */
  count = 0
  #text = ''

  /** @param file open for writing */
  constructor(private readonly file: { writeFile(text: string): Promise<void>; sync(): Promise<void> }) {}

  async add(key: string, text: string, reason: string): Promise<void> {
    this.count++
    this.#text += `${JSON.stringify({ key, text, reason })}\n`
    if (this.#text.length >= CHUNK_CHARS) await this.#write()
  }

  /** Writes what is left, and makes the file durable. */
  async end(): Promise<void> {
    await this.#write()
    await this.file.sync()
  }

  async #write(): Promise<void> {
    const text = this.#text
    this.#text = ''
    await this.file.writeFile(text)
  }
}
