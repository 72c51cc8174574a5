/** Text that came from outside and is stored or shown: without characters that forge, hide or reorder what is read. */

/** `text` without control, formatting (bidi included) and lone surrogate characters, cut to `bytesMax` UTF-8 bytes. */
export function cleanText(text: string, bytesMax: number): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, ' ')
  if (Buffer.byteLength(clean) <= bytesMax) return clean
  let cut = clean.slice(0, bytesMax)
  while (Buffer.byteLength(cut) > bytesMax) cut = cut.slice(0, -1)
  // Never half a character.
  return cut.replace(/[\ud800-\udbff]$/, '')
}
