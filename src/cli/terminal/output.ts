/**
 * The output of a command. On a terminal: tables and colours. In a pipe: plain lines with tabs. With `--json`: one object a
 * line, each with `schema`, and nothing else on standard output.
 */
import { cleanText } from '../../http/clean-text.js'
import { colors, Table } from './packages.js'

/** Version of the objects that `--json` prints. A field may be added in the same version; none is removed or changed. */
export const JSON_SCHEMA = 1

/** One column of a list. */
export interface Column<Item> {
  readonly title: string
  /** Text of a cell. Control characters are removed when it is printed. */
  readonly text: (item: Item) => string | number | undefined
}

export interface OutputOptions {
  readonly json: boolean
  readonly isTerminal: boolean
  readonly hasColors: boolean
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
}

export class Output {
  readonly colors: ReturnType<typeof colors.createColors>

  constructor(private readonly options: OutputOptions) {
    this.colors = colors.createColors(options.hasColors && !options.json)
  }

  get json(): boolean {
    return this.options.json
  }

  /** True if progress may be drawn on standard error. */
  get isTerminal(): boolean {
    return this.options.isTerminal
  }

  /** Prints a list: a table, plain lines, or an object a line. */
  rows<Item extends object>(items: readonly Item[], columns: readonly Column<Item>[]): void {
    if (this.json) {
      for (const item of items) this.object(item)
      return
    }
    const cells = items.map((item) => columns.map(({ text }) => shown(text(item))))
    if (!this.options.isTerminal) {
      for (const row of cells) this.#print(row.join('\t'))
      return
    }
    const table = new Table({ head: columns.map(({ title }) => title), style: { head: [], border: [] }, chars: PLAIN })
    for (const row of cells) table.push(row.map((cell) => this.status(cell)))
    if (cells.length > 0) this.#print(table.toString())
    else this.note('Nothing matches.')
  }

  /** Prints one object: its fields a line each, or as JSON. */
  fields(item: object, fields: readonly (readonly [string, unknown])[]): void {
    if (this.json) {
      this.object(item)
      return
    }
    const known = fields.filter(([, value]) => value !== undefined)
    const width = Math.max(...known.map(([name]) => name.length))
    for (const [name, value] of known) {
      const text = shown(typeof value === 'object' ? JSON.stringify(value) : (value as string | number))
      this.#print(
        this.options.isTerminal ? `${this.colors.dim(name.padEnd(width))}  ${this.status(text)}` : `${name}\t${text}`,
      )
    }
  }

  /** Prints a sentence about what was done, or an object with it. */
  done(sentence: string, item: object): void {
    if (this.json) this.object(item)
    else this.line(sentence)
  }

  /** Prints an object as a line of JSON. */
  object(item: object): void {
    this.options.write(`${JSON.stringify({ schema: JSON_SCHEMA, ...item })}\n`)
  }

  /** Prints a sentence. */
  line(text: string): void {
    this.#print(plainText(text))
  }

  /** Prints values in one line, with tabs. */
  cells(values: readonly (string | number | undefined)[]): void {
    this.#print(values.map(shown).join('\t'))
  }

  /** Prints a line for people to standard error. */
  note(text: string): void {
    this.options.writeError(`${plainText(text)}\n`)
  }

  #print(clean: string): void {
    this.options.write(`${clean}\n`)
  }

  private status(text: string): string {
    if (text === 'failed' || text === 'parked') return this.colors.red(text)
    if (text === 'completed') return this.colors.green(text)
    if (text === 'running') return this.colors.cyan(text)
    return text === 'input_required' ? this.colors.yellow(text) : text
  }
}

const PLAIN = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
}

// Larger than any value that a server returns.
const TEXT_BYTES_MAX = 64 * 1_048_576

/** Text that cannot move the cursor of the terminal or forge a line: names, errors and values come from tasks. */
export function plainText(text: string): string {
  return cleanText(text, TEXT_BYTES_MAX)
}

function shown(value: string | number | undefined): string {
  return value === undefined ? '-' : plainText(String(value))
}

/** Text of an instant. */
export function instantText(at: number | undefined): string | undefined {
  return at === undefined ? undefined : new Date(at).toISOString()
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const

/** Text of a time in its largest unit, such as `3h`. */
export function timeText(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined
  for (const [unit, size] of UNITS) if (Math.abs(ms) >= size) return `${Math.floor(ms / size)}${unit}`
  return `${Math.round(ms)}ms`
}
