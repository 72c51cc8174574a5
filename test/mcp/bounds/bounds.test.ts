// Goal: no single client stops a server with default options, fills its disk or shuts out another client.
// Method: a hostile client attacks a server with a heap of 128 MB for some seconds, in each way there is to make it keep or
// compute something. Times are printed and not asserted: `npm run bounds` does that on a quiet machine.
import { expect, test } from 'vitest'
import { attack } from './attack.js'
import { ATTACKS } from './attacks.js'

const SECONDS = Number(process.env['BOUNDS_SECONDS'] ?? 10)

test.each(ATTACKS)(
  'a client that attacks by $name leaves the server and its other clients alive',
  async (one) => {
    const figures = await attack(one, SECONDS)
    console.info(JSON.stringify(figures))
    expect(figures).toMatchObject({ lived: true, otherRefused: 0 })
    expect(figures.rssMb).toBeLessThanOrEqual(400)
    expect(figures.diskMb).toBeLessThanOrEqual(figures.diskMbMax)
    expect(figures.restartMs).toBeLessThan(Number.POSITIVE_INFINITY)
  },
  SECONDS * 1_000 + 60_000,
)
