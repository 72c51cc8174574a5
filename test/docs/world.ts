/** What the README's snippets take for granted: a Holdfast that is open, and services of the reader's own. */
import { Holdfast, silentLogger } from 'holdfast'

export const holdfast = await Holdfast.open({ dir: 'world', logger: silentLogger })

export const bank = {
  charge: async (cents: number, _: { signal: AbortSignal; idempotencyKey: string }) => ({
    status: 200,
    receipt: `receipt for ${cents}`,
  }),
  pay: async (to: string, cents: number, _key: string) => `paid ${cents} to ${to}`,
  place: async (isin: string) => `placed ${isin}`,
  findPayment: async (_key: string) => 'paid',
}

export const agency = {
  book: async (what: string, to: string, _key: string) => `${what} to ${to}`,
  cancel: async (_booking: string | undefined, _key: string) => {},
  tell: async (_words: string, _key: string) => {},
}

export const shop = {
  price: async () => 99,
  stock: async () => 3,
  sales: async (month: number) => month * 100,
}
