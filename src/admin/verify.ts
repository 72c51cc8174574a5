/** `verify`: every record of a store, and how the records fit each other. */

import { HoldfastError } from '../base/errors.js'
import { checkFunction, checkOptionsOf, expected, type Names } from '../base/expected.js'
import type { StoreCopy } from '../store/store.js'
import type { JobEnd, JobProgress } from './job.js'
import { runJob } from './run-job.js'
import { copyOfDirectory, copyOfOpen } from './source.js'
import { FINDINGS, type Finding, type FindingCode } from './verify/findings.js'

/** The options of `verify`. */
export interface VerifyOptions {
  /** Directory of a store that no process has open. Either `dir` or `holdfast` is given. */
  readonly dir?: string | undefined
  /** The open `Holdfast` whose store is verified, while its tasks run. */
  readonly holdfast?: object | undefined
  /** Receives the progress, now and then. */
  readonly onProgress?: ((progress: JobProgress) => void) | undefined
  /** Signal that ends the verification. Then it rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

const VERIFY_OPTIONS: Names<VerifyOptions> = { dir: true, holdfast: true, onProgress: true, signal: true }

/** Result of a verification. */
export interface VerifyReport {
  /** True if nothing was found. */
  readonly isSound: boolean
  readonly storeId: string
  /** Number of the newest commit; `undefined` if the database cannot be read. */
  readonly commit: number | undefined
  /** Number of records by kind, the first part of their keys. */
  readonly counts: Readonly<Record<string, number>>
  /** Number of records of kinds that this version does not know. They are kept. */
  readonly unknown: Readonly<Record<string, number>>
  /** Bytes of all keys and values. */
  readonly bytes: number
  /** The findings: the first 1,000. */
  readonly findings: readonly Finding[]
  /** Number of findings of each kind. */
  readonly findingCounts: Readonly<Partial<Record<FindingCode, number>>>
}

/**
 * Verifies a store: the checksums of its files and of every record, and how the records fit each other. Reads a linked
 * copy in a process of low priority, so the store does not change, and a process that LevelDB aborts is another one.
 * @throws HoldfastError `STORE_LOCKED`, `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`, `STORE_UNUSABLE`, `STORE_TOO_NEW`,
 *   `STORE_TOO_OLD`, `STORE_MOVED`, `STORE_DAMAGED`, `BACKUP_FAILED`
 * @throws TypeError for options of the wrong type
 */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  checkOptionsOf('verify', options, VERIFY_OPTIONS)
  const { onProgress, signal } = options
  if (onProgress !== undefined) checkFunction('onProgress', onProgress)
  checkSignal(signal)
  const copy = await copyOf('verify', options)
  try {
    return await verifyCopy(copy, { onProgress, signal })
  } finally {
    await copy.remove()
  }
}

/** @throws TypeError for anything but an `AbortSignal`, and but `undefined` */
export function checkSignal(given: unknown): void {
  if (given !== undefined && !(given instanceof AbortSignal)) throw expected('signal', 'an AbortSignal', given)
}

type Source =
  | { readonly dir: string; readonly holdfast?: undefined }
  | { readonly dir?: undefined; readonly holdfast: object }

/** Makes the copy that `dir` or `holdfast` names. */
export function copyOf(call: string, options: Pick<VerifyOptions, 'dir' | 'holdfast'>): Promise<StoreCopy> {
  const { dir, holdfast } = checkSource(call, options)
  return holdfast === undefined ? copyOfDirectory(dir) : copyOfOpen(holdfast)
}

/** Checks that either `dir` or `holdfast` is given. @throws TypeError */
export function checkSource(call: string, { dir, holdfast }: Pick<VerifyOptions, 'dir' | 'holdfast'>): Source {
  if ((dir === undefined) === (holdfast === undefined)) {
    throw new TypeError(`Expected the options of \`${call}\` to have either \`dir\` or \`holdfast\``)
  }
  if (holdfast !== undefined) return { holdfast }
  if (typeof dir !== 'string' || dir === '') throw expected('dir', 'a non-empty path', dir)
  return { dir }
}

/** Verifies a copy that was made for this. */
export async function verifyCopy(
  { path, storeId, anchored, anchorDamage }: Omit<StoreCopy, 'remove' | 'isLinked'>,
  options: Pick<VerifyOptions, 'onProgress' | 'signal'>,
): Promise<VerifyReport> {
  const end = await runJob({ databaseDir: path, storeId, anchored, anchorDamage }, options)
  return reportOf(storeId, end)
}

/** The report of an ended job. @throws HoldfastError `BACKUP_FAILED` if the job failed for another reason than damage */
export function reportOf(storeId: string, end: JobEnd): VerifyReport {
  if (end.kind === 'failed') {
    throw new HoldfastError('BACKUP_FAILED', `The store could not be read: ${end.message}`, { details: { storeId } })
  }
  const crash: Finding[] =
    end.kind === 'crashed'
      ? [
          {
            code: 'DATABASE_UNREADABLE',
            key: 'db',
            message: `LevelDB ended the process that read it (${end.how})`,
            ...FINDINGS.DATABASE_UNREADABLE,
          },
        ]
      : []
  const verified = end.kind === 'done' ? end.verified : undefined
  const findings = [...crash, ...end.findings]
  const crashCounts = crash.length > 0 ? { DATABASE_UNREADABLE: 1 } : {}
  return {
    isSound: findings.length === 0,
    storeId,
    commit: verified?.commit,
    counts: verified?.counts ?? {},
    unknown: verified?.unknown ?? {},
    bytes: verified?.bytes ?? 0,
    findings,
    findingCounts: { ...end.findingCounts, ...crashCounts },
  }
}
