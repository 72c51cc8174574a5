/** Random damages to an audit, without the hashes computed anew: edits, removals and moves, and the first wrong commit of each. */
import type { NewAuditEntry } from '../../src/store/audit.js'

/** The value of one commit: its number and its body as it is stored. */
export interface Written {
  readonly commit: number
  readonly body: string
}

/** A damaged audit. */
export interface Damaged {
  readonly what: string
  readonly values: readonly Written[]
  /** Number of the commit that is to be named first. */
  readonly wrong: number
  /** True if a value of `values` does not fit its checksum. */
  readonly isUnsealed?: boolean
}

/** Random numbers of a seed. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

interface Body {
  prev: string
  at: number
  bytes: number
  entries: NewAuditEntry[]
}

type Damage = (values: readonly Written[], random: (below: number) => number) => Damaged | undefined

const FIELDS = ['taskId', 'type', 'action', 'at', 'from', 'to', 'by', 'why'] as const

const bodyOf = ({ body }: Written) => JSON.parse(body) as Body
const withBody = ({ commit }: Written, body: Body): Written => ({ commit, body: JSON.stringify(body) })

function replaced(values: readonly Written[], index: number, change: (body: Body) => void): Written[] {
  return values.map((value, at) => {
    if (at !== index) return value
    const body = bodyOf(value)
    change(body)
    return withBody(value, body)
  })
}

/** Another value of the same kind, of the same length where it can be. */
function other(value: unknown, random: (below: number) => number): unknown {
  if (typeof value === 'number') return value + 1 + random(1_000)
  const text = typeof value === 'string' && value !== '' ? value : 'none'
  const at = random(text.length)
  return random(2) === 0 ? `${text.slice(0, at)}${text[at] === 'q' ? 'p' : 'q'}${text.slice(at + 1)}` : `${text}q`
}

/** The number of a commit without entries after the value at `index`; `undefined` if the next number has some. */
function freeAfter(values: readonly Written[], index: number): number | undefined {
  const free = (values[index] as Written).commit + 1
  return values[index + 1]?.commit === free ? undefined : free
}

const DAMAGES: readonly Damage[] = [
  function changeField(values, random) {
    const index = random(values.length)
    const field = FIELDS[random(FIELDS.length)] as (typeof FIELDS)[number]
    const changed = replaced(values, index, ({ entries }) => {
      const entry = entries[random(entries.length)] as unknown as Record<string, unknown>
      entry[field] = other(entry[field], random)
    })
    return { what: `change of ${field}`, values: changed, wrong: (values[index] as Written).commit }
  },
  function changeCounts(values, random) {
    const index = random(values.length)
    const field = random(2) === 0 ? 'at' : 'bytes'
    const changed = replaced(values, index, (body) => {
      body[field] += 1 + random(500)
    })
    return { what: `change of ${field} of a value`, values: changed, wrong: (values[index] as Written).commit }
  },
  function changeHash(values, random) {
    const index = random(values.length)
    const changed = replaced(values, index, (body) => {
      body.prev = random(4) === 0 ? '' : body.prev.replace(/./, (digit) => (digit === 'a' ? 'b' : 'a'))
    })
    return { what: 'change of a hash', values: changed, wrong: (values[index] as Written).commit }
  },
  function changeText(values, random) {
    const index = random(values.length)
    const changed = values.map((value, at) =>
      at === index ? { ...value, body: `${value.body.slice(0, -1)} }` } : value,
    )
    return { what: 'a blank that JSON does not see', values: changed, wrong: (values[index] as Written).commit }
  },
  function removeEntry(values, random) {
    const index = random(values.length)
    const changed = replaced(values, index, ({ entries }) => void entries.splice(random(entries.length), 1))
    return { what: 'removal of an entry', values: changed, wrong: (values[index] as Written).commit }
  },
  function addEntry(values, random) {
    const index = random(values.length)
    const changed = replaced(values, index, ({ entries }) => void entries.push(entries[0] as NewAuditEntry))
    return { what: 'a repeated entry', values: changed, wrong: (values[index] as Written).commit }
  },
  function moveEntry(values, random) {
    const [from, to] = [random(values.length), random(values.length)]
    if (from === to) return undefined
    const [moved] = bodyOf(values[from] as Written).entries
    const without = replaced(values, from, ({ entries }) => void entries.shift())
    const changed = replaced(without, to, ({ entries }) => void entries.push(moved as NewAuditEntry))
    return { what: 'move of an entry', values: changed, wrong: (values[Math.min(from, to)] as Written).commit }
  },
  function reorderEntries(values, random) {
    const many = values.flatMap((value, index) => (bodyOf(value).entries.length > 1 ? [index] : []))
    const index = many[random(many.length)] as number
    const changed = replaced(values, index, ({ entries }) => void entries.reverse())
    return { what: 'other order of entries', values: changed, wrong: (values[index] as Written).commit }
  },
  function removeValues(values, random) {
    const from = random(values.length - 1)
    const to = Math.min(values.length - 2, from + random(4))
    const rest = [...values.slice(0, from), ...values.slice(to + 1)]
    return { what: 'removal of values', values: rest, wrong: (values[to + 1] as Written).commit }
  },
  function swapValues(values, random) {
    const [one, two] = [random(values.length), random(values.length)]
    if (one === two) return undefined
    const swapped = values.map((value, at) =>
      at === one
        ? { ...value, body: values[two]?.body as string }
        : at === two
          ? { ...value, body: values[one]?.body as string }
          : value,
    )
    return { what: 'swap of values', values: swapped, wrong: (values[Math.min(one, two)] as Written).commit }
  },
  function moveValue(values, random) {
    const [from, after] = [random(values.length), random(values.length)]
    const free = freeAfter(values, after)
    if (free === undefined) return undefined
    const moved = { commit: free, body: (values[from] as Written).body }
    const rest = values.filter((_, at) => at !== from)
    const changed = [...rest, moved].sort((one, two) => one.commit - two.commit)
    const next = values[from + 1]
    const wrong = after <= from ? free : (next?.commit as number)
    return { what: 'move of a value to a free number', values: changed, wrong }
  },
  function copyValue(values, random) {
    const [from, after] = [random(values.length), random(values.length)]
    const free = freeAfter(values, after)
    if (free === undefined) return undefined
    const copy = { commit: free, body: (values[from] as Written).body }
    const changed = [...values, copy].sort((one, two) => one.commit - two.commit)
    return { what: 'copy of a value under a free number', values: changed, wrong: free }
  },
  function breakValue(values, random) {
    const index = random(values.length)
    const changed = values.map((value, at) => (at === index ? { ...value, body: value.body.slice(0, -2) } : value))
    return { what: 'a value that is cut', values: changed, wrong: (values[index] as Written).commit, isUnsealed: true }
  },
]

/** A random damage. The newest value is right in it with `keepsNewest`: without a head, nothing vouches for that one. */
export function damageOf(values: readonly Written[], random: (below: number) => number, keepsNewest: boolean): Damaged {
  for (;;) {
    const damaged = (DAMAGES[random(DAMAGES.length)] as Damage)(values, random)
    if (!damaged) continue
    const newest = values.at(-1) as Written
    const isKept = damaged.values.at(-1)?.commit === newest.commit && damaged.values.at(-1)?.body === newest.body
    if (!keepsNewest || isKept) return damaged
  }
}
