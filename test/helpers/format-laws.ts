/**
 * The laws of the format (docs/internals/on-disk-format.md), held against everything on a disk in memory. They hold after
 * every batch, so also where a process dies. The rules are those of `verify`; the walk is another one, over a map.
 */

import {
  AuditCheck,
  indexKeysOf,
  isKnownIndex,
  keyOfUnfinished,
  markerOf,
  Recount,
  readShared,
} from '../../src/admin/verify/shared-rules.js'
import { TASK_KINDS, TaskCheck } from '../../src/admin/verify/task-rules.js'
import { unseal } from '../../src/store/integrity/envelope.js'

/** Every law that is broken, as a sentence. */
export function brokenFormatLaws(content: ReadonlyMap<string, string>): string[] {
  const broken: string[] = []
  const find = (_code: string, key: string, message: string) => broken.push(`${key}: ${message}`)
  const bodies = new Map<string, { seq: number; body: string }>()
  const keysOf = new Map<string, string[]>()
  const byTask = new Map<string, string[]>()
  for (const key of [...content.keys()].sort()) {
    try {
      const { seq, body } = unseal(key, content.get(key) as string)
      bodies.set(key, { seq, body })
    } catch (error) {
      find('', key, (error as Error).message)
    }
    const [kind = '', taskId = ''] = key.split('/')
    if (taskId === '~') continue
    keysOf.set(kind, [...(keysOf.get(kind) ?? []), key])
    if ((TASK_KINDS as readonly string[]).includes(kind)) byTask.set(taskId, [...(byTask.get(taskId) ?? []), key])
  }
  const copied = new Set((keysOf.get('timer') ?? []).filter(isOrphanTimer).map((key) => key.split('/')[3]))
  const indexed = new Set<string>()
  const markers = new Set<string>()
  const recount = new Recount()
  for (const [taskId, keys] of byTask) {
    const check = new TaskCheck(taskId, find)
    for (const kind of TASK_KINDS) {
      for (const key of keys.filter((each) => each.split('/')[0] === kind)) {
        const record = bodies.get(key)
        if (record) check.add(kind, key, record.seq, record.body)
        else check.addDamaged(kind, key)
      }
    }
    const head = check.end(copied.has(taskId))
    if (!head) continue
    recount.add(head)
    for (const { key } of indexKeysOf(head)) indexed.add(key)
    const marker = markerOf(head)
    if (marker !== undefined) markers.add(marker)
    const key = keyOfUnfinished(head)
    if (key !== undefined && !bodies.get(key)?.body.includes(taskId)) find('', key, 'it does not lead to its task')
  }
  const isMarker = (key: string) => key.startsWith('settled/') || key.split('/')[2] === 'sweep'
  // The deletion that a caller asked for has a timer of its own until its last batch. Its task is hidden.
  const isDeletion = (key: string) =>
    key.startsWith('timer/') && content.get(`done/${key.split('/').at(-1)}`)?.includes('"sweeping":true') === true
  const compare = (wanted: ReadonlySet<string>, found: readonly string[], surplus: string) => {
    for (const key of wanted) if (!content.has(key)) find('', key, 'it is missing')
    for (const key of found) if (!wanted.has(key)) find('', key, surplus)
  }
  compare(indexed, (keysOf.get('ix') ?? []).filter(isKnownIndex), 'its task has no settled head')
  compare(
    markers,
    [...(keysOf.get('settled') ?? []), ...(keysOf.get('timer') ?? [])]
      .filter(isMarker)
      .filter((key) => !isDeletion(key)),
    'its task is not swept then',
  )
  const audit = new AuditCheck(find, bodies.get('meta/audit')?.body)
  const trail = (keysOf.get('audit') ?? []).flatMap((key) => audit.add(key, bodies.get(key)?.body ?? '{}'))
  audit.end()
  compare(new Set(trail), keysOf.get('trail') ?? [], 'the commit has no entry of the task')
  for (const key of [...(keysOf.get('meta') ?? []), ...(keysOf.get('hour') ?? [])]) {
    try {
      readShared(key, bodies.get(key)?.body ?? '')
    } catch (error) {
      find('', key, (error as Error).message)
    }
  }
  recount.end('meta/totals', bodies.get('meta/totals')?.body, find)
  return broken
}

const isOrphanTimer = (key: string) => key.split('/')[2] === 'sweep-orphan'
