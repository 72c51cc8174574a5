/**
 * The lock file `lock`, and the files that replace it: temporary files, claims, scratch folders. Carries out lock-2 to
 * lock-5 of lock.ts. lock-judge.ts decides if a holder still runs. lock-claim.mjs replaces the lock file.
 * lock-probe.mjs decides the cases that nothing else can prove.
 */
import { spawn } from 'node:child_process'
import { lstat, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DATABASE_DIR, FILE_MODE, hasCode, isMissing, LOCK_FILE, readIfPresent } from '../disk/files.js'
import { createExclusively, markOf, takeOver } from './lock-claim.mjs'
import { judge, type LockHolder, parseHolder } from './lock-judge.js'
import { cleanedAway, isDirectory, locked, undecided } from './lock-refusal.js'

const TEMP_PREFIX = 'lock.new-'
const CLAIM_PREFIX = 'lock.taken-'
const SCRATCH_PREFIX = 'probe-'

// A round without a result means that another process made progress. Two or three such rounds occur when many processes
// open at a time.
const ROUNDS_MAX = 50
const CLAIMS_MAX = 50
const PROBE_MS_MAX = 20_000
const FOREIGN_LEFTOVER_MS_MIN = 60_000

/**
 * Creates the lock file, or replaces a stale one.
 * @throws HoldfastError `STORE_LOCKED`, `STORE_UNUSABLE`; a system error if no file can be written
 */
export async function takeLockFile(dir: string, self: LockHolder): Promise<void> {
  const temp = join(dir, TEMP_PREFIX + self.token)
  try {
    await writeFile(temp, `${JSON.stringify(self, null, 2)}\n`, { flag: 'wx', mode: FILE_MODE })
    await contend(dir, self, temp)
  } catch (error) {
    throw isMissing(error) && (await missing(temp)) ? cleanedAway(dir, temp, error) : error
  } finally {
    await rm(temp, { force: true })
  }
  await sweep(dir, self)
}

async function contend(dir: string, self: LockHolder, temp: string): Promise<void> {
  const lock = join(dir, LOCK_FILE)
  for (let round = 0; round < ROUNDS_MAX; round++) {
    if (await createdFirst(temp, lock)) return
    const chain = await readChain(dir, self)
    if (!chain) continue // The lock file was released just now.
    const files = { lock, temp, claim: join(dir, CLAIM_PREFIX + chain.last), stale: chain.stale }
    const took = chain.proven ? await takeOver(files) : await takeOverByProbe(dir, self, chain, files)
    // Read once more: a process in another container may have taken our claim for an abandoned one.
    if (took && (await markAt(lock)) === self.token) return
  }
  throw locked(dir, parseHolder(await readLock(dir)), self)
}

/**
 * Text of the lock file.
 * @throws HoldfastError `STORE_UNUSABLE` if it is a directory
 */
export async function readLock(dir: string): Promise<string | undefined> {
  try {
    return await readIfPresent(join(dir, LOCK_FILE))
  } catch (error) {
    throw hasCode(error, 'EISDIR') ? isDirectory(dir, error) : error
  }
}

/** Removes the lock file if this process created it. */
export function releaseLockFile(dir: string, self: LockHolder): Promise<void> {
  return removeIfOurs(join(dir, LOCK_FILE), self)
}

async function createdFirst(temp: string, lock: string): Promise<boolean> {
  try {
    await createExclusively(temp, lock)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}

interface Takeover {
  readonly lock: string
  readonly temp: string
  readonly claim: string
  readonly stale: string
}

/** A lock file without a proven holder, and the claims on it. */
interface Chain {
  /** Mark of the lock file. */
  readonly stale: string
  /** Mark of the last claimant, or of the lock file if there is no claim. */
  readonly last: string
  /** The file of the last claim. */
  readonly lastClaim: string | undefined
  /** True if all processes of the chain are proved to have ended. */
  readonly proven: boolean
  /** The last process of the chain that may still run; `undefined` if its file is garbled. */
  readonly suspect: LockHolder | undefined
}

/**
 * Reads and judges the lock file and its claims; `undefined` if there is no lock file.
 * @throws HoldfastError `STORE_LOCKED` if a process of the chain is proved to run
 */
async function readChain(dir: string, self: LockHolder): Promise<Chain | undefined> {
  let text = await readLock(dir)
  if (text === undefined) return undefined
  const stale = markOf(text)
  let last = stale
  let lastClaim: string | undefined
  let proven = true
  let suspect: LockHolder | undefined
  for (let claims = 0; claims < CLAIMS_MAX; claims++) {
    const holder = parseHolder(text)
    const verdict = judge(holder, self)
    if (verdict === 'held') throw locked(dir, holder, self)
    if (verdict === 'unknown') {
      proven = false
      suspect = holder ?? suspect
    }
    const next = join(dir, CLAIM_PREFIX + last)
    text = await readIfPresent(next)
    if (text === undefined) break
    last = markOf(text, last)
    lastClaim = next
  }
  return { stale, last, lastClaim, proven, suspect }
}

/** Replaces the lock file as `takeOver` does, in a process that takes LevelDB's own lock first. */
async function takeOverByProbe(dir: string, self: LockHolder, chain: Chain, files: Takeover): Promise<boolean> {
  const scratch = join(dir, SCRATCH_PREFIX + self.token)
  const databaseLock = join(dir, DATABASE_DIR, 'LOCK')
  const lastClaim = chain.lastClaim ?? null
  try {
    const { answer, said } = await runProbe({ ...files, scratch, databaseLock, lastClaim })
    if (answer === 'held') throw locked(dir, chain.suspect, self)
    if (answer === 'no-links') throw undecided(dir, chain.suspect, 'the file system has no hard links there')
    if (answer === 'moved') return false
    // A probe that crashed may still have replaced the lock file.
    if (answer === 'taken' || (await markAt(files.lock)) === self.token) return true
    throw undecided(dir, chain.suspect, `the process that was to find out failed: ${said}`)
  } finally {
    await rm(scratch, { recursive: true, force: true })
    await removeIfOurs(files.claim, self)
  }
}

function runProbe(request: object): Promise<{ answer: string; said: string }> {
  const script = fileURLToPath(new URL('./lock-probe.mjs', import.meta.url))
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, JSON.stringify(request)], {
      // Inside Electron, the executable is a Node only with this variable.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'], // The probe's answer comes on the last one.
      timeout: PROBE_MS_MAX,
      killSignal: 'SIGKILL',
      windowsHide: true,
    })
    let answer = ''
    let said = ''
    child.stdio[3]?.on('data', (text: Buffer) => {
      answer += text
    })
    child.stdio[2]?.on('data', (text: Buffer) => {
      said = (said + text).slice(-2_000)
    })
    child.on('error', (error) => resolve({ answer: '', said: error.message }))
    child.on('close', (code, signal) => {
      const ended = /^\w*Error\b.*$/m.exec(said)?.[0] ?? `it ended with ${signal ?? `exit code ${code}`}`
      resolve({ answer, said: ended })
    })
  })
}

/** Removes the files of contenders that crashed: temporary files, claims and scratch folders. Never fails. */
async function sweep(dir: string, self: LockHolder): Promise<void> {
  for (const name of await readdir(dir).catch(() => [])) {
    const path = join(dir, name)
    try {
      if (name.startsWith(CLAIM_PREFIX)) {
        // This process has the lock file now, so claims on earlier ones mean nothing any more (lock-claim-3).
        if (name !== CLAIM_PREFIX + self.token) await rm(path, { force: true })
      } else if (name.startsWith(TEMP_PREFIX)) {
        if (await isLeftover(dir, path, self)) await rm(path, { force: true })
      } else if (name.startsWith(SCRATCH_PREFIX)) {
        // The temporary file of a contender exists for as long as its scratch folder may be in use.
        const temp = join(dir, TEMP_PREFIX + name.slice(SCRATCH_PREFIX.length))
        if ((await missing(temp)) || (await isLeftover(dir, temp, self))) {
          await rm(path, { recursive: true, force: true })
        }
      }
    } catch {
      // Files that cannot be removed are no reason to fail the open.
    }
  }
}

async function isLeftover(dir: string, temp: string, self: LockHolder): Promise<boolean> {
  const verdict = judge(parseHolder(await readIfPresent(temp)), self)
  if (verdict !== 'unknown') return verdict === 'gone'
  const [ours, theirs] = await Promise.all([stat(join(dir, LOCK_FILE)), stat(temp)])
  return ours.ctimeMs - theirs.ctimeMs > FOREIGN_LEFTOVER_MS_MIN
}

async function missing(path: string): Promise<boolean> {
  return lstat(path).then(() => false, isMissing)
}

async function markAt(path: string): Promise<string | undefined> {
  const text = await readIfPresent(path)
  return text === undefined ? undefined : markOf(text)
}

async function removeIfOurs(path: string, self: LockHolder): Promise<void> {
  if ((await markAt(path)) === self.token) await rm(path, { force: true })
}
