/**
 * Makes a source map smaller: one mapping, to its begin, for each line of the source that a line of the output has. Stack
 * traces and breakpoints need the line. A mapping for every token would be three times as large.
 */

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** The map as JSON text, with the mappings of lines only. */
export function lineMapOf(text: string): string {
  const map = JSON.parse(text) as { mappings: string }
  let [source, line] = [0, 0]
  let kept: [source: number, line: number] = [0, 0]
  const lines = map.mappings.split(';').map((mappings) => {
    let [at, keptAt] = [0, 0]
    const segments: string[] = []
    for (const segment of mappings === '' ? [] : mappings.split(',')) {
      const [moved = 0, ...place] = decode(segment)
      at += moved
      if (place.length < 3) continue
      source += place[0] as number
      line += place[1] as number
      if (segments.length > 0 && kept[0] === source && kept[1] === line) continue
      segments.push([at - keptAt, source - kept[0], line - kept[1], 0].map(encode).join(''))
      keptAt = at
      kept = [source, line]
    }
    return segments.join(',')
  })
  return JSON.stringify({ ...map, names: [], mappings: lines.join(';') })
}

/** The numbers of a segment, in base 64 of variable length: five bits a digit, the lowest first, and the sign last. */
function decode(segment: string): number[] {
  const numbers: number[] = []
  let [value, shift] = [0, 0]
  for (const character of segment) {
    const digit = DIGITS.indexOf(character)
    value += (digit & 31) << shift
    shift += 5
    if (digit & 32) continue
    numbers.push(value & 1 ? -(value >> 1) : value >> 1)
    value = shift = 0
  }
  return numbers
}

function encode(number: number): string {
  let left = number < 0 ? (-number << 1) | 1 : number << 1
  let text = ''
  do {
    const digit = left & 31
    left >>>= 5
    text += DIGITS[left > 0 ? digit | 32 : digit]
  } while (left > 0)
  return text
}
