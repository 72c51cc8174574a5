/** A page: the entries that one call reads from the database. */

/** An entry of the database. */
export type StoredEntry = [key: string, text: string]

// LevelDB's default of 16 KiB would need a round trip for every dozen records.
export const PAGE_BYTES = 256 * 1024

/** True if a page of at most `size` entries ended with its range, and was not cut short by its size or its bytes. */
export function isWhole(page: readonly StoredEntry[], size: number): boolean {
  if (page.length >= size) return false
  let units = 0
  for (const [key, text] of page) units += key.length + (text?.length ?? 0)
  // A UTF-16 unit needs at most three bytes.
  return units * 3 < PAGE_BYTES
}
