/**
 * Functions that replace a lock file. Plain JavaScript, because the library and its probe (lock-probe.mjs, a separate
 * process that runs from `src` and from `dist` alike) must replace it in the same way.
 *
 * A file system cannot compare and swap a file. But it can create a name exclusively. So the right to replace the lock
 * file with mark M is the file `lock.taken-M`, which holds the claimant's own lock text:
 *
 * lock-claim-1. A claim is made by an exclusive create, so a mark has at most one successor at a time.
 * lock-claim-2. No claim is overridden. If a claimant crashed, the next one claims the mark of that claimant instead.
 *   So `lock` and its claims are a chain, and the process that made the last claim replaces `lock`.
 * lock-claim-3. After its claim, the claimant reads `lock` again. Marks are never used twice. If the mark is another
 *   one, `lock` was replaced meanwhile, the claims on the old one mean nothing any more, and the claimant withdraws.
 * lock-claim-4. Claims are removed only after `lock` was replaced. So by lock-claim-3, a late claimant notices the
 *   replacement.
 */
import { createHash } from 'node:crypto'
import { constants, copyFile, link, readFile, rename, rm } from 'node:fs/promises'

const TOKEN = /^[\w-]{1,64}$/

/** Error codes of `link` without hard links: on FAT, on some network and FUSE file systems, and to another device. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK']

/**
 * Code of a system error, or an empty text.
 * @param {unknown} error
 * @returns {string}
 */
export function codeOf(error) {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/**
 * True if a hard link failed because the file system has none.
 * @param {unknown} error
 */
export function cannotLink(error) {
  return NO_LINKS.includes(codeOf(error))
}

/**
 * Mark that distinguishes one lock file from all others: its token, or a hash if its text is garbled. Safe as part of a
 * file name.
 * @param {string} text
 * @param {string} [claimed] for a claim, the mark that it claims. Without this, two empty files of a chain would have
 * one mark.
 * @returns {string}
 */
export function markOf(text, claimed = '') {
  try {
    const { token } = JSON.parse(text)
    if (typeof token === 'string' && TOKEN.test(token)) return token
  } catch {
    // The text is garbled after a power cut, or by an editor.
  }
  return `garbled-${createHash('sha256').update(`${claimed}\n${text}`).digest('hex').slice(0, 32)}`
}

/**
 * Creates `to` as a copy of `from`, with all of its text at once. Rejects with EEXIST if `to` exists.
 * @param {string} from
 * @param {string} to
 */
export async function createExclusively(from, to) {
  try {
    await link(from, to)
  } catch (error) {
    if (!cannotLink(error)) throw error
    // A copy is not atomic: a reader may find a part of the text, which is garbled. Without hard links, a garbled lock
    // file is never replaced.
    await copyFile(from, to, constants.COPYFILE_EXCL)
  }
}

/**
 * Replaces the lock file, if it is unchanged since it was judged and no other process is replacing it.
 * @param {object} files
 * @param {string} files.lock the lock file
 * @param {string} files.stale its mark when it was judged
 * @param {string} files.claim the name of the claim on the chain's last mark
 * @param {string} files.temp our prepared lock file; it is moved if the result is `true`
 * @returns {Promise<boolean>} `false` if a file changed and the lock file must be judged again
 */
export async function takeOver({ lock, stale, claim, temp }) {
  try {
    await createExclusively(temp, claim)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
  try {
    if (markOf(await readFile(lock, 'utf8')) !== stale) return false
    await rename(temp, lock)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  } finally {
    await rm(claim, { force: true })
  }
}
