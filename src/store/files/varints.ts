/** Reads the integers and texts of LevelDB's files. */

/** Reads bytes from the front. Each call throws a RangeError at the end of the bytes. */
export class ByteReader {
  #at = 0

  constructor(private readonly bytes: Buffer) {}

  get isAtEnd(): boolean {
    return this.#at >= this.bytes.length
  }

  /** An integer of at most 53 bits, of which each byte has seven, the lowest first. */
  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes.readUInt8(this.#at++)
      value += (byte & 127) * scale
      if (byte < 128) return value
      if (scale > 2 ** 49) throw new RangeError('A number of more than eight bytes')
    }
  }

  /** The next `length` bytes. */
  take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.bytes.length) throw new RangeError(`${length} bytes are wanted, and fewer are left`)
    const taken = this.bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  /** Bytes with their length before them. */
  sized(): Buffer {
    return this.take(this.varint())
  }
}
