/**
 * Refusals of a damaged store, and the errors of LevelDB that mean damage.
 *
 * - Damage is `STORE_DAMAGED`. Its message names the damage and the action to take. Any other error that stops an open
 *   concerns the machine (rights, space, too many files), and the store is sound.
 * - Missing commits, and damaged records of the store's own, can be accepted. Files that LevelDB cannot read cannot.
 */
import { HoldfastError } from '../../base/errors.js'

/** The command that repairs the store. */
export function repairCommand(dir: string): string {
  return `\`npx holdfast repair --dir ${dir}\``
}

/** Creates the refusal of a store with damage that `acceptDamage` accepts. */
export function storeDamaged(dir: string, damage: string): HoldfastError {
  return new HoldfastError(
    'STORE_DAMAGED',
    `The store ${dir} is damaged: ${damage}. Restore a backup, or run ${repairCommand(dir)} to keep what is whole, or open it with \`acceptDamage: true\` to continue without what is missing; the recovery report then lists what was accepted.`,
    { details: { dir, damage } },
  )
}

/** Creates the refusal of a store whose database LevelDB cannot read. No option opens it. */
export function databaseBroken(cause: unknown, dir?: string): HoldfastError {
  const damage = explain(cause)
  return new HoldfastError(
    'STORE_DAMAGED',
    `${dir === undefined ? 'The store' : `The store ${dir}`} is damaged: its database cannot be read: ${damage}. Restore a backup, or run ${dir === undefined ? '`npx holdfast repair`' : repairCommand(dir)} to keep what is whole; \`acceptDamage\` does not help here.`,
    { cause, details: { dir, damage } },
  )
}

// Errors of LevelDB have no system error number, only the system's message. Without the name of a file before it, the
// message may be about the file system, such as a folder that cannot be synced.
const BROKEN_FILE =
  /IO error: .*\/(?:(?:CURRENT|MANIFEST-\S*|\d+\.(?:log|ldb)): (?:No such file|Is a directory|Not a directory)|\d+\.ldb: (?:Invalid argument|No such device)|LOCK: Not a directory)/
const NO_CURRENT = /does not exist \(create_if_missing is false\)/

/** True if `error` is an error of LevelDB about damaged or missing files. */
export function isBroken(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  if (code === 'LEVEL_CORRUPTION') return true
  if (code === 'LEVEL_IO_ERROR' && BROKEN_FILE.test(error.message)) return true
  return NO_CURRENT.test(error.message) || isBroken(error.cause)
}

/** Texts of the system in the message of an error of LevelDB, which has no code of its own. */
const SYSTEM_TEXTS: readonly (readonly [text: string, code: string])[] = [
  ['No space left on device', 'ENOSPC'],
  ['Disk quota exceeded', 'EDQUOT'],
  ['Read-only file system', 'EROFS'],
  ['Input/output error', 'EIO'],
  ['Too many open files', 'EMFILE'],
]

/** The system error code of a failure or of its causes. `undefined` if it has none. */
export function systemCodeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: unknown }
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return code
    const { message } = at
    const said = SYSTEM_TEXTS.find(([text]) => message.includes(text))
    if (said) return said[1]
  }
  return undefined
}

/** Message of an error of LevelDB, with the message of its cause, which is the system's. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
