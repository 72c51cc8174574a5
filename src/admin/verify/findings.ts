/** The findings of a verification: one for each broken invariant, with what it means and what to do. Pure. */

/** Each kind of finding: its meaning, and the action to take. */
export const FINDINGS = {
  TABLE_DAMAGED: {
    meaning: 'A block of a table file does not fit its checksum: the disk changed it, or a copy did.',
    action: 'Restore a backup, or run `repair`. Check the disk.',
  },
  LOG_FILE_DAMAGED: {
    meaning:
      'A record in the middle of a log file does not fit its checksum. LevelDB drops it, and up to 32 KiB after it.',
    action: 'Restore a backup, or run `repair`. Check the disk.',
  },
  DATABASE_UNREADABLE: {
    meaning: 'LevelDB cannot open the database, or aborts the process that opens it.',
    action: 'Restore a backup, or run `repair`.',
  },
  IDENTITY_WRONG: {
    meaning: 'The record `meta/format` is missing, damaged, or of another store than `holdfast.json`.',
    action: 'Put the two back together, or run `repair` if the directory is whole.',
  },
  COMMITS_MISSING: {
    meaning: 'Acknowledged commits are missing, or the records that show it are damaged.',
    action: 'Restore a backup, or open with `acceptDamage: true` to continue without them.',
  },
  ANCHOR_DAMAGED: {
    meaning:
      'The file `anchor` is missing, damaged, or of another store, so it does not show if the newest commits are there.',
    action: 'Run `repair`, which makes it anew. Check the disk.',
  },
  RECORD_SEAL: {
    meaning: 'A value does not fit its checksum, so its content is not what was written.',
    action: 'Restore a backup, or run `repair`.',
  },
  RECORD_UNREADABLE: {
    meaning: 'A value fits its checksum, and its content has not the form that its kind has.',
    action: 'Report this with the key: the value was written like this.',
  },
  HEAD_PART_MISSING: {
    meaning: 'A task has only the fixed or only the moving part of its head, so it cannot be read.',
    action: 'Restore a backup, or run `repair`, which moves the rest of the task to the lost-found file.',
  },
  HEAD_TWICE: {
    meaning: 'A settled task has the head of an unfinished one too: the database brought back an old value.',
    action: 'Open the store: the opening deletes the old head. Or run `repair`.',
  },
  LOG_INCOMPLETE: {
    meaning:
      'The log of a task has not the records that its head counts. The task parks with `RECORD_DAMAGED` when it is replayed.',
    action: 'Restore a backup, or cancel the task.',
  },
  VALUE_MISSING: {
    meaning: 'The input or the outcome of a task is missing.',
    action: 'Restore a backup, or cancel the task.',
  },
  VALUE_SURPLUS: {
    meaning: 'A task has an input or an outcome that its head does not have, or has it twice, or in the wrong place.',
    action: 'Run `repair`.',
  },
  CHECKPOINT_MISSING: {
    meaning: 'A checkpoint that the head counts has no description or no state, and cannot be restored.',
    action:
      'Restore a backup if the checkpoint is needed. The task itself is not affected, unless its body restores it.',
  },
  COUNT_WRONG: {
    meaning: 'The head counts other numbers of pending inputs, messages, children or undo records than there are.',
    action: 'Restore a backup, or cancel the task.',
  },
  ORPHAN: {
    meaning: 'A record belongs to a task that does not exist. Nothing reads or deletes it.',
    action: 'Run `repair`, which moves it to the lost-found file.',
  },
  INDEX_MISSING: {
    meaning: 'A settled task is not in an index, so `list` does not find it there.',
    action: 'Run `repair`, which makes the indexes anew.',
  },
  INDEX_SURPLUS: {
    meaning: 'An index has an entry without a settled task.',
    action: 'Run `repair`, which makes the indexes anew.',
  },
  TIMER_MISSING: {
    meaning: 'Nothing deletes a settled task, or forgets its idempotency key.',
    action: 'Run `repair`, which makes the timers anew.',
  },
  TIMER_SURPLUS: {
    meaning: 'A timer of a task that does not exist, or at another instant. It does no harm.',
    action: 'Run `repair`, which makes the timers anew.',
  },
  KEY_MISSING: {
    meaning: 'The idempotency key of an unfinished task is missing, so a repeated start would run a second task.',
    action: 'Restore a backup, or run `repair`, which makes the key anew.',
  },
  KEY_SURPLUS: {
    meaning: 'An idempotency key leads to a task that does not exist, and nothing ever forgets it.',
    action: 'None is needed: starts under the key are refused, which is safe.',
  },
  TRAIL_WRONG: {
    meaning: 'The audit entries of a task and the keys that lead to them do not belong together.',
    action: 'Run `repair`, which makes the trail anew.',
  },
  AUDIT_ORDER: {
    meaning: 'An audit value has no entries, or its instant or size goes back.',
    action: 'None is needed. Report this with the key.',
  },
  AUDIT_CHAIN: {
    meaning:
      'Audit entries were changed, removed or moved: the hash of a value is not in the next one. Or an older release wrote to the store.',
    action:
      'Find out who can write to the directory, and compare the audit with an export. No task depends on it. `verifyAudit` names more.',
  },
  TOTALS_WRONG: {
    meaning: 'The counters of the store differ from a recount of its tasks.',
    action: 'Run `repair`, which counts anew. No task depends on the counters.',
  },
} as const satisfies Record<string, { meaning: string; action: string }>

/** Kind of a finding. */
export type FindingCode = keyof typeof FINDINGS

/** One broken invariant. */
export interface Finding {
  readonly code: FindingCode
  /** The key, or the name of the file, that is concerned. */
  readonly key: string
  /** Description of the damage. */
  readonly message: string
  /** Meaning of this kind of finding. */
  readonly meaning: string
  /** Action to take. */
  readonly action: string
}

/** Reports one broken invariant. */
export type Find = (code: FindingCode, key: string, message: string) => void

/** Most findings that are kept one by one. All are counted. */
export const FINDINGS_MAX = 1_000

/** Collects findings. */
export class Findings {
  readonly list: Finding[] = []
  readonly counts: Partial<Record<FindingCode, number>> = {}

  readonly find: Find = (code, key, message) => {
    this.counts[code] = (this.counts[code] ?? 0) + 1
    if (this.list.length < FINDINGS_MAX) this.list.push({ code, key, message, ...FINDINGS[code] })
  }
}
