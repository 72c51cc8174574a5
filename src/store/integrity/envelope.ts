/**
 * The envelope around every value: `<version> <checksum> <sequence> <body>`.
 *
 * The checksum also covers the key, so that a value under a wrong key is noticed. It is checked on every read, because
 * LevelDB itself checks nothing then (store-1). The sequence is the task's count of commits, or the number of the
 * commit if there is no task. The body is text, mostly JSON.
 */
import { checksum } from '../../base/checksum.js'
import { HoldfastError } from '../../base/errors.js'

const ENVELOPE_VERSION = '1'

/** Content of an envelope. */
export interface Envelope {
  readonly seq: number
  readonly body: string
}

/** Wraps `body` in an envelope for `key`. */
export function seal(key: string, seq: number, body: string): string {
  return `${ENVELOPE_VERSION} ${checksum(`${key} ${seq} `, body)} ${seq} ${body}`
}

const SEQ_AT = 11 // Position after the version, the checksum, and a space each.

/**
 * Opens an envelope that was read under `key`.
 * @throws HoldfastError `RECORD_DAMAGED` naming the key
 */
export function unseal(key: string, text: string): Envelope {
  const end = text.indexOf(' ', SEQ_AT)
  const seq = text.slice(SEQ_AT, end)
  const body = text.slice(end + 1)
  const sealed =
    text.startsWith(`${ENVELOPE_VERSION} `) && text.slice(2, SEQ_AT - 1) === checksum(`${key} ${seq} `, body)
  if (!sealed || end < SEQ_AT) throw damaged(key, 'its checksum does not fit')
  return { seq: Number(seq), body }
}

/** Body of the envelope under `key`, parsed as JSON. */
export function unsealJson<T>(key: string, text: string): T {
  return JSON.parse(unseal(key, text).body) as T
}

/** Creates the error of a record that is damaged or missing. */
export function damaged(key: string, why: string): HoldfastError {
  return new HoldfastError('RECORD_DAMAGED', `The record ${key} is damaged: ${why}`, { details: { key } })
}
