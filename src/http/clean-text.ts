/**
 * Cleans text from outside before it is stored or shown. Removes characters that forge, hide or reorder what a person
 * reads.
 */

/**
 * Replaces control, formatting (bidi included) and lone surrogate characters of `text` by blanks, and cuts it to
 * `bytesMax` UTF-8 bytes.
 */
export function cleanText(text: string, bytesMax: number): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, ' ')
  if (Buffer.byteLength(clean) <= bytesMax) return clean
  let cut = clean.slice(0, bytesMax)
  while (Buffer.byteLength(cut) > bytesMax) cut = cut.slice(0, -1)
  // The cut may have left half a character.
  return cut.replace(/[\ud800-\udbff]$/, '')
}
