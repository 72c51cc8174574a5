/** The middle between two keys, to split a range of keys without reading it. Keys are ASCII text; others are only split less evenly. */

// Characters that are counted. Two keys that differ only later have no middle.
const CHARACTERS = 80
const FIRST = 0x20
const BASE = 96n

/** A text between two keys, about in their middle; `undefined` if there is none. */
export function middleOf(from: string, to: string): string | undefined {
  const middle = textOf((numberOf(from) + numberOf(to)) / 2n)
  return middle > from && middle < to ? middle : undefined
}

/** The first characters as the digits of a number. */
function numberOf(key: string): bigint {
  let number = 0n
  for (let at = 0; at < CHARACTERS; at++) {
    const code = at < key.length ? key.charCodeAt(at) : FIRST
    number = number * BASE + BigInt(Math.min(Math.max(code - FIRST, 0), 95))
  }
  return number
}

function textOf(number: bigint): string {
  const codes: number[] = []
  for (let rest = number; codes.length < CHARACTERS; rest /= BASE) codes.push(Number(rest % BASE) + FIRST)
  return String.fromCharCode(...codes.reverse()).replace(/ +$/, '')
}
