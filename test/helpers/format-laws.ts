/**
 * The laws of the format (docs/internals/on-disk-format.md), held against everything on a disk. They hold after every batch,
 * so also where a process dies.
 */
import { unseal } from '../../src/store/integrity/envelope.js'
import { decodeHead } from '../../src/store/operations.js'
import { isSettled, type TaskHead } from '../../src/task/head.js'
import { splitValue, VALUE_INLINE_BYTES_MAX } from '../../src/task/head-codec.js'
import { decodeDropped, includes } from '../../src/task/log/dropped-records.js'
import { LogSums } from '../../src/task/log/log-sums.js'
import { countedIn, decodeRecord } from '../../src/task/log/records.js'
import { PREFIX } from '../../src/task/log/segment.js'

/** Every law that is broken, as a sentence. */
export function brokenFormatLaws(content: ReadonlyMap<string, string>): string[] {
  const broken: string[] = []
  const bodies = new Map<string, string>()
  const logs = new Map<string, string[]>()
  for (const [key, text] of content) {
    try {
      bodies.set(key, unseal(key, text).body)
    } catch (error) {
      broken.push((error as Error).message)
    }
    const [kind, taskId = ''] = key.split('/')
    if (kind === 'log' && taskId !== '~') logs.set(taskId, [...(logs.get(taskId) ?? []), key])
  }
  const idsOf = (kind: string) =>
    [...content.keys()].filter((key) => key.startsWith(`${kind}/`)).map((key) => key.slice(kind.length + 1))
  for (const taskId of new Set([...idsOf('task'), ...idsOf('live'), ...idsOf('done')])) {
    const say = (sentence: string) => broken.push(`${taskId}: ${sentence}`)
    const [task, live, done] = ['task', 'live', 'done'].map((kind) => content.get(`${kind}/${taskId}`))
    if (live !== undefined && done !== undefined) say('it has a live head and a settled one')
    const moving = done ?? live
    if (task === undefined || moving === undefined) {
      say(`its head has only its ${task === undefined ? 'moving' : 'fixed'} part`)
      continue
    }
    const key = done === undefined ? `live/${taskId}` : `done/${taskId}`
    const head = decodeHead(key, moving, task)
    checkValues(head, key, bodies, say)
    if (!head.sweeping) checkSums(head, (logs.get(taskId) ?? []).sort(), bodies, say)
  }
  checkAudit(bodies, broken)
  checkIndex(content, broken)
  return broken
}

/** The trail leads to exactly the commits that have an entry of the task (audit-1); instants and sizes never go back. */
function checkAudit(bodies: ReadonlyMap<string, string>, broken: string[]): void {
  const wanted = new Set<string>()
  let before = { at: 0, bytes: 0 }
  for (const key of [...bodies.keys()].filter((each) => each.startsWith('audit/')).sort()) {
    const value = JSON.parse(bodies.get(key) ?? '') as { at: number; bytes: number; entries: { taskId: string }[] }
    if (value.at < before.at || value.bytes <= before.bytes) broken.push(`${key}: its instant or its size goes back`)
    if (value.entries.length === 0) broken.push(`${key}: it has no entries`)
    for (const { taskId } of value.entries) wanted.add(`trail/${taskId}/${key.slice('audit/'.length)}`)
    before = value
  }
  const found = [...bodies.keys()].filter((key) => key.startsWith('trail/') && key !== 'trail/~')
  for (const key of found) if (!wanted.has(key)) broken.push(`${key}: the commit has no entry of the task`)
  for (const key of wanted) if (!bodies.has(key)) broken.push(`${key}: it is missing`)
}

const LETTERS = { completed: 'c', failed: 'f', cancelled: 'x' } as const

/** The index has the entries of exactly the tasks that have a settled head (index-1). */
function checkIndex(content: ReadonlyMap<string, string>, broken: string[]): void {
  const wanted = new Set<string>()
  for (const [key, text] of content) {
    if (!key.startsWith('done/')) continue
    const { taskId, type, owner, parentId, status } = decodeHead(key, text, content.get(key.replace('done', 'task')))
    const letter = LETTERS[status as keyof typeof LETTERS]
    wanted.add(`ix/t/${encodeURIComponent(type)}/${letter}/${taskId}`)
    if (owner !== undefined) wanted.add(`ix/o/${encodeURIComponent(owner)}/${letter}/${taskId}`)
    if (letter !== 'c') wanted.add(`ix/s/${letter}/${taskId}`)
    if (parentId !== undefined) wanted.add(`ix/p/${parentId}/${taskId}`)
  }
  for (const key of wanted) if (!content.has(key)) broken.push(`${key}: it is missing`)
  for (const key of content.keys())
    if (key.startsWith('ix/') && !wanted.has(key)) broken.push(`${key}: its task has no settled head`)
}

type Say = (sentence: string) => void

/** An input and an outcome are there exactly if the head says so, once, and where their size says. */
function checkValues(head: TaskHead, headKey: string, bodies: ReadonlyMap<string, string>, say: Say): void {
  const { taskId } = head
  const places = [
    { what: 'input', wanted: head.hasInput, inline: splitValue(bodies.get(`task/${taskId}`) ?? '').value },
    {
      what: 'outcome',
      wanted: isSettled(head.status) && !head.sweeping,
      inline: splitValue(bodies.get(headKey) ?? '').value,
    },
  ]
  for (const { what, wanted, inline } of places) {
    const own = bodies.get(`${what}/${taskId}`)
    const count = [inline, own].filter((value) => value !== undefined).length
    if (wanted && count !== 1) say(`its ${what} is stored ${count} times`)
    if (!wanted && !head.sweeping && count !== 0) say(`it has an ${what}`)
    if (inline !== undefined && Buffer.byteLength(inline) > VALUE_INLINE_BYTES_MAX) say(`its ${what} is too large`)
    if (own === undefined || Buffer.byteLength(own) > VALUE_INLINE_BYTES_MAX) continue
    // The outcome of a task with a clean-up was written before its last head.
    if (what === 'input' || head.cleanUp === 'none') say(`its ${what} is small, and not stored with the head`)
  }
}

/** The head counts the records of its segments. */
function checkSums(head: TaskHead, keys: readonly string[], bodies: ReadonlyMap<string, string>, say: Say): void {
  const list = bodies.get(`dropped/${head.taskId}`)
  const dropped = head.hasDropped && list !== undefined ? decodeDropped(list) : undefined
  const sums = new LogSums()
  for (const key of keys) {
    const number = Number.parseInt(key.slice(key.lastIndexOf('/') + 1), 16)
    if (dropped && includes(dropped.numbers, number)) continue
    const text = bodies.get(key) ?? ''
    const record = decodeRecord(text)
    const segment = countedIn(record)
    if (segment === PREFIX || segment >= head.keptFrom) sums.add({ record, text })
  }
  const hole = sums.hole(head)
  if (hole !== undefined) say(hole)
}
