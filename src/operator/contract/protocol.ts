/**
 * Names and limits of the operator API that server and client share: version, headers, and the file by which a client
 * finds the holder of a store.
 *
 * protocol-1. A client finds the holder by `operator/holder.json` alone. It derives no name of a socket by itself.
 * protocol-2. The names of this file do not change between versions: a client of another version must be able to read the
 *   refusal that names the version.
 */
import { z } from 'zod'
import { cleanText } from '../../http/clean-text.js'

/** Version of the routes and of their JSON. A server answers clients of the same version only. */
export const PROTOCOL_VERSION = 1

/** Start of the path of every route. */
export const PATH_PREFIX = `/v${PROTOCOL_VERSION}/`

/** Header with the version of the client. */
export const PROTOCOL_HEADER = 'holdfast-protocol'
/** Header with the name that the audit shows. Percent-encoded UTF-8. */
export const ACTOR_HEADER = 'holdfast-actor'
/** Header with the release of the package, for messages. */
export const RELEASE_HEADER = 'holdfast-release'

/** Folder in the directory of a store. Mode 0700. */
export const OPERATOR_DIR = 'operator'
/** File in that folder. Mode 0600. */
export const HOLDER_FILE = 'holder.json'

/** Longest path of a socket in bytes of UTF-8. macOS has room for 104 with the final NUL, Linux for 108. */
export const SOCKET_PATH_BYTES_MAX = 103

/** Content of `holder.json`. */
export const HolderRecord = z.object({
  protocol: z.int(),
  /** Release of the package that the holder runs. */
  release: z.string(),
  /** Path of the socket, or of the pipe on Windows. */
  path: z.string(),
  /** Secret of this opening: 256 random bits. */
  secret: z.string(),
  pid: z.int(),
  /** Token of the lock file of this opening. */
  lockToken: z.string(),
})
export type HolderRecord = z.output<typeof HolderRecord>

/** Longest name of an actor, in bytes of UTF-8. */
const ACTOR_BYTES_MAX = 100

/** The actor in a header of a request, cleaned as `actorNamed` does. */
export function actorOf(claimed: string | null): string {
  let text = claimed ?? ''
  try {
    text = decodeURIComponent(text)
  } catch {
    // The text was not encoded.
  }
  return actorNamed(text)
}

/**
 * Cleans the name of an actor. A name without a prefix such as `cli: ` gets `operator: `, so that it cannot be taken for an
 * owner, `admin`, `engine` or `recovery`.
 */
export function actorNamed(text: string): string {
  const clean = cleanText(text, ACTOR_BYTES_MAX).trim()
  if (/^[a-z]{2,16}: \S/.test(clean)) return clean
  return clean === '' ? 'operator' : `operator: ${clean}`
}

/** The sentence for a client of another version. It names the side to update. */
export function versionSentence(client: number, server: number, release: string): string {
  const versions = `This server has version ${server} of the operator API (holdfast ${release}), and the client has version ${client}.`
  return client > server
    ? `${versions} Update holdfast in the server, and start it again.`
    : `${versions} Update the client: use the command line or the package of holdfast ${release}.`
}
