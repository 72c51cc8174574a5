/**
 * Goal: with everything at once (retries, sleeps, inputs, messages, branches, undo, children, cancels), and the process
 * killed every few seconds, each task settles or waits for a reason that `get` states, and the laws hold: a task settles
 * once, nothing but clean-up comes after it, a recorded step never runs again, an undo that is recorded never runs
 * again, each charge is kept by a task that completed or is taken back, and no child outlives its parent's clean-up.
 * Method: a real process over a real directory, 500 made-up tasks live at any time, killed for SOAK_SECONDS (60). Then
 * one that runs until nothing is left to do. The audit and a journal of the effects are held against each other.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type AuditEntry, Holdfast, type ServiceLevels, silentLogger, type TaskView } from 'holdfast'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { randomOf, seedFor } from '../helpers/simulation.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CHILD = fileURLToPath(new URL('./soak-child.mjs', import.meta.url))
const SOAK_MS = Number(process.env['SOAK_SECONDS'] ?? 60) * 1_000
const LIVE = Number(process.env['SOAK_TASKS'] ?? 500)
// The last process has to end what hundreds of tasks left, on a machine that may be busy.
const DRAIN_MS = 60_000

const folder = mkdtempSync(join(tmpdir(), 'holdfast-soak-'))
const dir = join(folder, 'store')
const journalPath = join(folder, 'journal')
let url = ''

beforeAll(async () => {
  const outDir = join(folder, 'package')
  const compiler = spawn('npx', ['tsc', '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', outDir], { cwd: ROOT })
  expect(await new Promise((resolve) => compiler.on('close', resolve))).toBe(0)
  writeFileSync(join(outDir, 'package.json'), '{ "type": "module" }')
  symlinkSync(join(ROOT, 'node_modules'), join(outDir, 'node_modules'))
  url = pathToFileURL(join(outDir, 'index.js')).href
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What a process tells its driver. */
interface Word {
  readonly fact: 'alive' | 'open' | 'number' | 'created' | 'asks' | 'wants' | 'sent' | 'left' | 'levels' | 'drained'
  readonly number: number
  readonly tasks: readonly TaskView[]
  readonly taskId: string
  readonly type: string
  readonly key: string
  readonly name: string
  readonly levels: { readonly sinceOpen: ServiceLevels; readonly overLife: ServiceLevels }
}

/** A line of the journal. */
interface Line {
  readonly fact: string
  readonly round: number
  readonly at: number
  readonly taskId: string
  readonly name: string
  readonly call: string
  readonly key: string
  readonly failed: boolean
  readonly status: string
  readonly found: number
  readonly actions: Readonly<Record<string, number>>
}

/** Runs one process after the other, and plays everybody outside: who answers, sends and cancels. */
class Driver {
  readonly levels: ServiceLevels[] = []
  readonly killedAt: number[] = []
  readonly broken: string[] = []
  /** Messages that nobody has said to be sent: a task that is unloaded doesn't ask twice. */
  readonly #wanted = new Map<string, object>()
  #left = 'nothing is known of what is left'
  #next = 0
  #hurry = 1
  #round = 0
  #tell: ((line: object) => void) | undefined

  constructor(
    readonly seed: number,
    readonly random: () => number,
  ) {}

  /** Runs a process until it is killed, so long after that word of it; without, until it ends. */
  async live(kill?: { readonly after: 'alive' | 'open'; readonly ms: number }): Promise<void> {
    const words = [url, dir, journalPath, this.seed, this.#round++, this.#next, LIVE, kill ? 'work' : 'drain'].map(
      String,
    )
    if (!kill) this.#hurry = 10
    const child = spawn(process.execPath, [CHILD, ...words], { stdio: ['pipe', 'pipe', 'pipe'] })
    const timers: NodeJS.Timeout[] = []
    let isHung = false
    const die = (ms: number, hung = false) =>
      timers.push(
        setTimeout(() => {
          isHung = hung
          child.kill('SIGKILL')
        }, ms),
      )
    die(kill ? 30_000 : DRAIN_MS, true)
    let errors = ''
    child.stderr.on('data', (text: Buffer) => (errors += String(text)))
    // It may be killed while it is told something.
    child.stdin.on('error', () => {})
    this.#tell = (line) => child.stdin.write(`${JSON.stringify(line)}\n`)
    createInterface({ input: child.stdout }).on('line', (text) => {
      // The last one may be cut off.
      if (!text.endsWith('}')) return
      const word = JSON.parse(text) as Word
      this.#hear(word)
      if (kill && word.fact === kill.after) die(kill.ms)
    })
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
    this.#tell = undefined
    for (const timer of timers) clearTimeout(timer)
    if (isHung) this.broken.push(`round ${this.#round} did not come to its end in time: ${this.#left}`)
    if (code !== null && (kill || code !== 0))
      this.broken.push(`a process ended with ${code}: ${errors.slice(0, 2_000)}`)
    if (code === null) this.killedAt.push(Date.now())
  }

  #hear({ fact, number, taskId, type, key, name, tasks, levels }: Word): void {
    switch (fact) {
      case 'number':
        this.#next = Math.max(this.#next, number + 1)
        return
      case 'created':
        if (this.random() < (type === 'job' ? 0.15 : 0.1)) this.#later(12_000, { act: 'cancel', taskId })
        return
      case 'asks':
        if (!key.startsWith('forever'))
          this.#later(2_500, { act: 'respond', taskId, name: key, value: `${taskId} ${key}` })
        return
      case 'open':
        for (const message of this.#wanted.values()) this.#later(2_500, message)
        return
      case 'wants': {
        const message = { act: 'send', taskId, name, value: `${taskId} ${name}` }
        this.#wanted.set(`${taskId} ${name}`, message)
        this.#later(2_500, message)
        return
      }
      case 'sent':
        this.#wanted.delete(`${taskId} ${name}`)
        return
      case 'left':
        this.#left = `${number} tasks are left, among them ${JSON.stringify(tasks)}`
        return
      case 'levels':
        this.levels.push(levels.overLife)
    }
  }

  /** A killed process isn't told it: the next one announces its inputs again, and is sent what is wanted still. */
  #later(ms: number, line: object): void {
    setTimeout(() => this.#tell?.(line), (this.random() * ms) / this.#hurry).unref()
  }
}

const SETTLED = ['completed', 'failed', 'cancelled']
const BEHIND = ['undone', 'undo-failed', 'cleaned-up', 'clean-up-failed', 'result-dropped', 'parked', 'resumed']

/** All that is known of a task. */
interface Story {
  readonly view: TaskView
  readonly audit: readonly AuditEntry[]
  readonly lines: readonly Line[]
}

/** The laws of one task, over what the audit and the journal say of it. */
function brokenBy({ view, audit, lines }: Story, begunAt: readonly number[]): string[] {
  const broken: string[] = []
  const { taskId, status, cleanUp, error } = view
  const say = (sentence: string) => broken.push(`${view.type} ${taskId} (${status}): ${sentence}`)
  const actions = audit.map(({ action }) => action)
  const end = actions.findIndex((action) => SETTLED.includes(action))
  const settledAt = audit[end]?.at

  if (settledAt === undefined) {
    const asks = Object.keys(view.inputRequests ?? {})
    const isWaiting = status === 'input_required' && asks.length === 1 && asks[0]?.startsWith('forever')
    if (!isWaiting || view.parked) say(`not settled, and waits for ${asks}; parked: ${view.parked?.reason}`)
  } else {
    if (actions.filter((action) => SETTLED.includes(action)).length !== 1) say(`settled more than once: ${actions}`)
    const after = actions.slice(end + 1)
    if (after.some((action) => !BEHIND.includes(action))) say(`went on: ${actions}`)
    if (cleanUp === 'pending' || cleanUp === 'failed') say(`its clean-up is ${cleanUp}: ${view.cleanUpReason}`)
    if (after.filter((action) => action.startsWith('clean')).length !== (cleanUp === 'done' ? 1 : 0))
      say(`its clean-up is ${cleanUp}, its audit ${actions}`)
    if (status === 'failed' && !error?.message.includes('made up: flaky'))
      say(`failed for no reason: ${error?.message}`)
    if (actions[end] !== status) say(`the audit says ${actions[end]}`)
  }

  const overRound = roundAfter(settledAt, begunAt)
  const cleanedRound = roundAfter(audit.find(({ action }) => action === 'cleaned-up')?.at, begunAt)
  let isSettled = false
  let isCleanedUp = false
  /** What is recorded by name, and what stands of charges. */
  const recorded = new Map<string, { readonly failed: boolean }>()
  const charges = new Map<string, 'stands' | 'taken back'>()
  const last = new Map<string, string>()
  const undoKeys = new Map<string, string>()
  const undone = new Set<string>()
  for (const event of inOrder(lines, audit)) {
    if ('action' in event) {
      const name = event.why?.replace(/ \(number \d+\)$/, '') ?? ''
      if (event.action === 'undone') {
        charges.set(name, 'taken back')
        undone.add(undoKeys.get(name) ?? '')
      }
      // An attempt more makes again what failed, what was undone, and what came of that in branches beside the failure.
      const branches = event.action === 'retried' ? branchesBeside(event.why) : undefined
      if (event.action === 'retried')
        for (const [step, { failed }] of recorded)
          if (failed || charges.get(step) === 'taken back' || branches?.test(step)) recorded.delete(step)
      continue
    }
    const { fact, name, round } = event
    if (fact === 'begin') {
      if (recorded.has(name)) say(`${name} was recorded and ran again, in round ${round}`)
      if (isSettled || round >= overRound) say(`${name} began after the end`)
      if (name.startsWith('charge')) charges.set(name, 'stands')
    }
    if (fact === 'end') last.set(name, event.call)
    if (fact === 'recorded') recorded.set(name, event)
    if (fact === 'undo begin') {
      // A charge that is made once more is undone under another key.
      if (undone.has(event.key)) say(`${name} was undone and is undone again`)
      undoKeys.set(name, event.key)
    }
    if ((fact === 'undo begin' || fact === 'onCancel') && (isCleanedUp || round >= cleanedRound))
      say(`${fact} ${name} after the clean-up`)
    if (fact === 'settled') {
      if (event.status !== status) say(`somebody was told ${event.status}`)
      isSettled = true
    }
    if (fact === 'cleaned up') isCleanedUp = true
  }

  const values = valuesOf(view)
  for (const [name, what] of settledAt === undefined ? [] : charges) {
    const isKept = status === 'completed' && name in values
    if (isKept !== (what === 'stands')) say(`${name} ${what}, and is ${isKept ? '' : 'not '}in the result`)
  }
  for (const [name, value] of Object.entries(values)) {
    const isCall = /^(step|charge|flaky)/.test(name)
    if (isCall && value !== last.get(name)) say(`${name} is ${value}, and its last call was ${last.get(name)}`)
    if (/^(input|mail)/.test(name) && value !== 'timeout' && !`${value}`.startsWith(`${taskId} ${name}`))
      say(`${name} was answered with ${value}`)
  }
  return broken
}

/** The names of what was done in branches of the call in which the attempt failed; none if it failed outside. */
function branchesBeside(why = ''): RegExp | undefined {
  const [, call] = /Step 'flaky (\d)[xy]/.exec(why) ?? []
  return call === undefined ? undefined : new RegExp(`^\\w+ ${call}[xy]`)
}

/** The first process that began after the instant. */
function roundAfter(at: number | undefined, begunAt: readonly number[]): number {
  if (at === undefined) return Number.POSITIVE_INFINITY
  const round = begunAt.findIndex((begun) => begun > at)
  return round < 0 ? Number.POSITIVE_INFINITY : round
}

/** Lines and entries by their times; what ended before it was recorded in the same millisecond comes first. */
function inOrder(lines: readonly Line[], audit: readonly AuditEntry[]): readonly (Line | AuditEntry)[] {
  return [...lines, ...audit].sort((one, other) => one.at - other.at)
}

function showEvent(event: Line | AuditEntry): string {
  if ('action' in event) return `${event.at} audit ${event.action} by ${event.by}: ${event.why ?? ''}`
  return `${event.at} round ${event.round} ${event.fact} ${event.name ?? event.status ?? ''} ${event.call ?? event.key ?? ''}`
}

function valuesOf({ outcome }: TaskView): Record<string, unknown> {
  return outcome?.kind === 'result' ? (outcome.result as Record<string, unknown>) : {}
}

/** When it was over, its clean-up included. */
function overAt({ view, audit }: Story): number {
  if (view.settledAt === undefined) return Number.POSITIVE_INFINITY
  return audit.find(({ action }) => action === 'cleaned-up')?.at ?? view.settledAt
}

async function readStories(holdfast: Holdfast, lines: readonly Line[]): Promise<Map<string, Story>> {
  const byTask = new Map<string, Line[]>()
  for (const line of lines) byTask.set(line.taskId, [...(byTask.get(line.taskId) ?? []), line])
  const stories = new Map<string, Story>()
  for (let cursor: string | undefined; ; ) {
    const page = await holdfast.list({ limit: 1_000, ...(cursor === undefined ? {} : { cursor }) })
    for (const { taskId } of page.tasks) {
      const [view, audit] = await Promise.all([holdfast.get(taskId), holdfast.audit({ taskId, limit: 10_000 })])
      stories.set(taskId, { view, audit, lines: byTask.get(taskId) ?? [] })
    }
    cursor = page.cursor
    if (cursor === undefined) return stories
  }
}

test(`${LIVE} live tasks of all kinds, killed every few seconds, all end, and keep the laws`, {
  timeout: SOAK_MS + DRAIN_MS + 120_000,
}, async () => {
  const seed = seedFor('SOAK_SEED')
  const random = randomOf(seed)
  const driver = new Driver(seed, random)
  const until = Date.now() + SOAK_MS
  while (Date.now() < until && driver.broken.length === 0) {
    // Some die while they open or take up what they found.
    const isEarly = random() < 0.2
    await driver.live(isEarly ? { after: 'alive', ms: random() * 200 } : { after: 'open', ms: 500 + random() * 4_000 })
  }
  const drainedFrom = Date.now()
  if (driver.broken.length === 0) await driver.live()
  const drainMs = Date.now() - drainedFrom

  const texts = readFileSync(journalPath, 'utf8').split('\n').slice(0, -1)
  const lines = texts.map((text) => JSON.parse(text) as Line)
  const of = (fact: string) => lines.filter((line) => line.fact === fact)
  const begunAt: number[] = []
  for (const { round, at } of of('begins')) begunAt[round] = at

  const holdfast = await Holdfast.open({ dir, logger: silentLogger, recover: 'manual' })
  const stories = await readStories(holdfast, lines)
  await holdfast.close()

  const laws = [...stories.values()].flatMap((story) => brokenBy(story, begunAt))
  const broken = [...driver.broken, ...laws]
  for (const { taskId } of [...of('started'), ...of('created')])
    if (!stories.has(taskId)) broken.push(`${taskId} was started, and is gone`)
  for (const { taskId } of of('was cancelled'))
    if (stories.get(taskId)?.view.status !== 'cancelled') broken.push(`${taskId} was told to be cancelled, and is not`)
  let children = 0
  for (const child of stories.values()) {
    const { parentId, taskId } = child.view
    const parent = parentId === undefined ? undefined : stories.get(parentId)
    if (parentId === undefined) continue
    children++
    if (!parent) broken.push(`${taskId} is the child of nobody`)
    else if (overAt(child) > overAt(parent)) broken.push(`${taskId} outlives its parent ${parentId}`)
  }

  // A task was recovered if it was there when a process died, and came to its end all the same.
  const all = [...stories.values()]
  const died = all.filter(({ view }) =>
    driver.killedAt.some((at) => view.createdAt < at && at < (view.settledAt ?? at + 1)),
  )
  const bad = new Set(broken.flatMap((sentence) => sentence.match(/task-[0-9A-Z]+/g) ?? []))
  const recovered = died.filter(({ view }) => !bad.has(view.taskId))
  const count = (status: string) => all.filter(({ view }) => view.status === status).length
  const levels = driver.levels[0]
  const found = of('found').map((line) => line.found)
  const percent = (rate: number | undefined) => (rate === undefined ? 'none' : `${(rate * 100).toFixed(2)} %`)
  console.info(
    `killed ${driver.killedAt.length} times in ${SOAK_MS / 1_000} s, with up to ${Math.max(...found)} live tasks: ${all.length} tasks, ${children} of them children; ` +
      `${SETTLED.map((status) => `${count(status)} ${status}`).join(', ')}, ${count('input_required')} wait for an answer\n` +
      `${of('begin').length} effects, ${of('recorded').length} records told, ${of('undo end').length} undos, ` +
      `${of('accepted').length} answers, ${of('sent').length} messages, ${of('was cancelled').length} cancels; ` +
      `drained in ${drainMs} ms, ${new Set(of('resumed').map(({ taskId }) => taskId)).size} resumed by hand\n` +
      `recovery success rate: ${percent(recovered.length / died.length)} of ${died.length} tasks that were unfinished at ` +
      `${driver.killedAt.length} deaths; by stats(): ${percent(levels?.recoverySuccessRate)} ` +
      `of those that ${of('recovery').length} recoveries found; clean-up rate ${percent(levels?.cleanUpRate)}`,
  )
  for (const taskId of [...bad].slice(0, 3)) {
    const { audit = [], lines: told = [] } = stories.get(taskId) ?? {}
    console.info(`${taskId}; processes began at ${begunAt}\n${inOrder(told, audit).map(showEvent).join('\n')}`)
  }
  expect(broken.slice(0, 20)).toEqual([])
  expect(recovered.length).toBe(died.length)
  expect(levels?.cleanUpRate).toBe(1)
  // Without these the kills would have proved nothing.
  expect(Math.max(...found)).toBeGreaterThan(LIVE * 0.9)
  expect(died.length).toBeGreaterThan(LIVE / 2)
  for (const fact of ['undo end', 'accepted', 'sent', 'was cancelled', 'recovery']) expect(of(fact)).not.toEqual([])
  expect(children).toBeGreaterThan(0)
})
