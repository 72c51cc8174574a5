/**
 * How a lock file changes hands. Plain JavaScript, since both the library and its probe (lock-probe.mjs, a process of
 * its own that runs from `src` and from `dist` alike) do it, and must do it the same way.
 *
 * A file cannot be compared and swapped. But a name can be created exclusively, so the right to replace the lock file
 * marked M is the file `lock.taken-M`, which holds the claimant's own lock text:
 *
 * lock-claim-1. A claim is made by an exclusive create, so a mark has at most one successor at a time.
 * lock-claim-2. Nobody overrides a claim. If the claimant died, the next one claims the claimant's mark instead. So `lock` and
 *     its claims are a chain, and whoever made its last claim is the one to replace `lock`.
 * lock-claim-3. After its claim the claimant reads `lock` again. Marks never come back; a lock file with another mark was
 *     replaced meanwhile, the claims on the old one mean nothing any more, and the claimant withdraws.
 * lock-claim-4. Claims are removed only after `lock` was replaced, so lock-claim-3 catches everybody who comes late.
 */
import { createHash } from 'node:crypto'
import { constants, copyFile, link, readFile, rename, rm } from 'node:fs/promises'

const TOKEN = /^[\w-]{1,64}$/

/** What `link` answers where there are no hard links: FAT, some network and FUSE file systems, another device. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK']

/**
 * @param {unknown} error
 * @returns {string}
 */
export function codeOf(error) {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/**
 * Whether a hard link failed because there cannot be any.
 * @param {unknown} error
 */
export function cannotLink(error) {
  return NO_LINKS.includes(codeOf(error))
}

/**
 * What tells one lock file from every other: its token, or a hash if it is garbled. Safe as part of a file's name.
 * @param {string} text
 * @param {string} [claimed] for a claim, the mark it claims: two empty files in a chain must not look alike
 * @returns {string}
 */
export function markOf(text, claimed = '') {
  try {
    const { token } = JSON.parse(text)
    if (typeof token === 'string' && TOKEN.test(token)) return token
  } catch {
    // Garbled, as after a power cut or somebody's editor.
  }
  return `garbled-${createHash('sha256').update(`${claimed}\n${text}`).digest('hex').slice(0, 32)}`
}

/**
 * Gives `from` a second name, with all of its text at once. Rejects with EEXIST if the name is taken.
 * @param {string} from
 * @param {string} to
 */
export async function createExclusively(from, to) {
  try {
    await link(from, to)
  } catch (error) {
    if (!cannotLink(error)) throw error
    // Not at once: a reader may find a part of the text. It is garbled then, and without hard links
    // a garbled lock file is never taken over.
    await copyFile(from, to, constants.COPYFILE_EXCL)
  }
}

/**
 * Replaces the lock file, if it is still the one that was judged and nobody else is doing the same.
 * @param {object} files
 * @param {string} files.lock the lock file
 * @param {string} files.stale its mark when it was judged
 * @param {string} files.claim the name of the claim on the chain's last mark
 * @param {string} files.temp our prepared lock file; it is gone if the answer is `true`
 * @returns {Promise<boolean>} `false`: something moved, judge anew
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
