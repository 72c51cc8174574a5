/**
 * A broker that keeps accounts and orders: it writes a line to a file for all it did, and outlives whoever called it. Like
 * many, it knows idempotency keys where it deals with money, and none for orders: ordered twice is bought twice.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** What it does: with money, with orders, and with the customer. */
export type Deed = 'reserve' | 'release' | 'place order' | 'withdraw order' | 'pay' | 'tell customer'

/** One thing that it did. */
export interface Entry {
  readonly deed: Deed
  readonly trade: string
  readonly cents: number
  readonly key?: string | undefined
}

const WAY_MS = 20

/** Somebody's connection to the broker. */
export class Broker {
  /** @param onWay told, and waited for, on the way to the broker, and on the way back once it did it */
  constructor(
    private readonly file: string,
    private readonly onWay: (where: 'called' | 'did', deed: Deed) => Promise<void>,
  ) {}

  async do(deed: Deed, { name: trade, cents }: { name: string; cents: number }, key?: string): Promise<string> {
    await this.onWay('called', deed)
    await delay(WAY_MS)
    const isDone = key !== undefined && deedsOf(this.file).some((done) => done.key === key)
    if (!isDone) appendFileSync(this.file, `${JSON.stringify({ deed, trade, cents, key } satisfies Entry)}\n`)
    await this.onWay('did', deed)
    return `${deed} for ${trade}`
  }
}

/** All that the broker did, oldest first. */
export function deedsOf(file: string): Entry[] {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  return lines.filter(Boolean).map((line) => JSON.parse(line) as Entry)
}

/** What is free in the account. */
export function freeCents(deeds: readonly Entry[], before: number): number {
  const signs: Partial<Record<Deed, number>> = { reserve: -1, release: 1 }
  return deeds.reduce((free, { deed, cents }) => free + (signs[deed] ?? 0) * cents, before)
}
