/** Holdfast with deferred steps: their records are written with the next commit of the task, so that a crash may run them again. */
import { openWith } from './holdfast.mjs'

/** @type {import('./peer.mjs').OpenPeer} */
export const open = (options) => openWith(options, { commit: 'deferred' })
