/** The probe with `level.batch([…])`, the usual form of a batch, which checks and copies each operation in JavaScript. */
import { openWith } from './probe.mjs'

/** @type {import('./peer.mjs').OpenPeer} */
export const open = (options) =>
  openWith(options, (level, operations) =>
    level.batch(
      operations.map(([key, value]) => ({ type: 'put', key, value })),
      { sync: true },
    ),
  )
