/**
 * Goal: `kill -9` at any moment loses nothing that was acknowledged, repeats nothing that was recorded, settles nothing
 * twice and leaves nothing pending for ever (commit-2, recovery-1 to recovery-4).
 * Method: real processes over real directories, killed at random moments more than a hundred times, some of them while
 * they open or recover. Each says at once what it was told; the parent holds every word against what is left at the end.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Holdfast, silentLogger, type TaskView } from 'holdfast'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { randomOf, seedFor } from '../helpers/simulation.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CHILD = fileURLToPath(new URL('./kill-child.mjs', import.meta.url))
const KILLS_PER_STORE = Number(process.env['KILLS'] ?? 55)
const STORES = 2

const folder = mkdtempSync(join(tmpdir(), 'holdfast-kill-'))
const seed = seedFor('KILL_SEED')

/** Something a child was told, or did. `n` counts through both in the order in which they happened. */
interface Line {
  readonly n: number
  readonly round: number
  readonly fact?: string
  readonly at?: 'begin' | 'end' | 'resume'
  readonly taskId: string
  readonly type: string
  readonly key: string
  readonly call: string
  readonly value: string
  readonly wrong: boolean
  readonly created: boolean
  readonly checkpointId: string
  readonly state: unknown
  readonly status: string
  readonly outcome: unknown
  readonly part: number
  readonly step: string
  readonly number: number
  readonly what: string
  readonly found: number
  readonly tasks: readonly { readonly taskId: string; readonly action: string }[]
}

/** A build of the sources as they are now: what lies in `dist` may be older. */
async function build(): Promise<string> {
  const outDir = join(folder, 'package')
  const args = ['tsc', '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', outDir]
  const compiler = spawn('npx', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [compiler.stdout, compiler.stderr]) stream.on('data', (text: Buffer) => (said += String(text)))
  const code = await new Promise((resolve) => compiler.on('close', resolve))
  if (code !== 0) throw new Error(`The package could not be built:\n${said}`)
  writeFileSync(join(outDir, 'package.json'), '{ "type": "module" }')
  symlinkSync(join(ROOT, 'node_modules'), join(outDir, 'node_modules'))
  return pathToFileURL(join(outDir, 'index.js')).href
}

/** When a child is killed: so many milliseconds after a word of it, or after so many words. */
type Death =
  | { readonly after: 'alive' | 'open'; readonly ms: number }
  | { readonly words: number }
  | { readonly never: true }

interface Life {
  readonly lines: readonly Line[]
  readonly code: number | null
  readonly errors: string
}

/** Runs a child until it is killed, or until it ends. */
function live(args: readonly string[], death: Death): Promise<Life> {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: Line[] = []
  let errors = ''
  const kill = () => void child.kill('SIGKILL')
  const timers: NodeJS.Timeout[] = []
  child.stderr.on('data', (text: Buffer) => (errors += String(text)))
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as Line
    lines.push(line)
    if ('words' in death && lines.length === death.words) kill()
    if ('after' in death && line.fact === death.after) timers.push(setTimeout(kill, death.ms))
  })
  // A child that hangs must not hang the test; that it was killed late is told by its missing words.
  timers.push(setTimeout(kill, 20_000))
  return new Promise((resolve) => {
    child.on('close', (code) => {
      for (const timer of timers) clearTimeout(timer)
      resolve({ lines, code, errors })
    })
  })
}

function deathOf(random: () => number): Death {
  const kind = random()
  // An open takes some 30 ms, and the recovery behind it as long again.
  if (kind < 0.2) return { after: 'alive', ms: random() * 40 }
  if (kind < 0.4) return { after: 'open', ms: random() * 30 }
  if (kind < 0.6) return { words: 3 + Math.floor(random() * 150) }
  return { after: 'open', ms: random() * 260 }
}

/** What was acknowledged over all lives of a store. */
class Ledger {
  readonly broken: string[] = []
  readonly types = new Map<string, string>()
  readonly answers = new Map<string, Line>()
  readonly outcomes = new Map<string, string>()
  readonly checkpoints: Line[] = []
  readonly clientCheckpoints: Line[] = []
  readonly keys = new Map<string, string>()
  readonly recorded = new Map<string, Set<string>>()
  readonly parts = new Map<string, Line>()
  readonly #created = new Set<string>()
  words = 0

  take(line: Line): void {
    const { fact, taskId, key } = line
    this.words++
    switch (fact) {
      case 'started': {
        this.types.set(taskId, line.type)
        if (key === undefined) return
        const first = this.keys.get(key)
        if (first !== undefined && first !== taskId) this.#break(`${key} stands for ${first} and for ${taskId}`)
        if (line.created && this.#created.has(key)) this.#break(`${key} created a task twice`)
        if (line.created && first !== undefined) this.#break(`${key} created a task, after it was told to have one`)
        this.keys.set(key, taskId)
        if (line.created) this.#created.add(key)
        return
      }
      case 'answered': {
        const id = `${taskId} ${key}`
        const first = this.answers.get(id)
        if (line.wrong) this.#break(`${id} was answered with ${line.value}`)
        if (first && first.value !== line.value) this.#break(`${id} was ${first.value}, and is ${line.value}`)
        if (!first) this.answers.set(id, line)
        return
      }
      case 'recorded': {
        // A loop's names are numbered anew in each segment, so they say nothing here.
        if (this.types.get(taskId) === 'loop') return
        const id = `${line.step} ${line.number}`
        const known = this.recorded.get(taskId) ?? new Set()
        if (known.has(id) && this.types.has(taskId)) this.#break(`${taskId} recorded ${id} twice`)
        this.recorded.set(taskId, known.add(id))
        return
      }
      case 'checkpoint':
        this.checkpoints.push(line)
        return
      case 'client checkpoint':
        this.clientCheckpoints.push(line)
        return
      case 'part':
        this.parts.set(taskId, line)
        return
      case 'settled': {
        const said = `${line.status} ${withoutStacks(line.outcome)}`
        const first = this.outcomes.get(taskId)
        if (first !== undefined && first !== said) this.#break(`${taskId} settled as ${first}, and then as ${said}`)
        this.outcomes.set(taskId, said)
        return
      }
      case 'untrue':
        this.#break(line.what)
    }
  }

  #break(sentence: string): void {
    this.broken.push(sentence)
  }

  /** Holds the journal of the steps' functions against the answers. */
  readJournal(path: string): { begun: number; again: number } {
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
    const last = new Map<string, string>()
    let again = 0
    for (const text of lines) {
      const line = JSON.parse(text) as Line
      const id = `${line.taskId} ${line.key}`
      if (line.at === 'resume') {
        const saved = this.parts.get(line.taskId)
        const isLater = saved && (line.round > saved.round || (line.round === saved.round && line.n > saved.n))
        if (isLater && line.part < saved.part) this.#break(`${line.taskId} went back to part ${line.part}`)
      }
      if (line.at !== 'begin') continue
      if (last.has(id)) again++
      last.set(id, line.call)
      const answer = this.answers.get(id)
      const isLater = answer && (line.round > answer.round || (line.round === answer.round && line.n > answer.n))
      if (isLater) this.#break(`${id} was answered in round ${answer.round} and called again in round ${line.round}`)
    }
    // The answer is that of the last call: an earlier one that was recorded would have been the answer of all.
    for (const [id, { value }] of this.answers) {
      if (last.get(id) !== value) this.#break(`${id} was answered with ${value}; its last call was ${last.get(id)}`)
    }
    return { begun: lines.filter((text) => text.includes('"begin"')).length, again }
  }

  /** Holds everything against what the store says now. */
  async readStore(holdfast: Holdfast): Promise<number> {
    const views = new Map<string, TaskView>()
    for (let cursor: string | undefined; ; ) {
      const page = await holdfast.list({ limit: 1_000, ...(cursor === undefined ? {} : { cursor }) })
      for (const view of page.tasks) views.set(view.taskId, view)
      cursor = page.cursor
      if (cursor === undefined) break
    }
    for (const taskId of this.types.keys()) if (!views.has(taskId)) this.#break(`${taskId} was started, and is gone`)
    const outcomes = new Map<string, unknown>()
    for (const [taskId, { type, kind, parked }] of views) {
      const { status, outcome } = await holdfast.get(taskId)
      outcomes.set(taskId, outcome)
      if (status === 'pending' || status === 'running') this.#break(`${taskId} (${type}) is ${status} for ever`)
      if (parked) this.#break(`${taskId} is parked: ${parked.reason}`)
      const told = this.outcomes.get(taskId)
      const said = `${status} ${withoutStacks(outcome)}`
      if (told !== undefined && told !== said) this.#break(`${taskId} was told to be ${told}, and is ${said}`)

      const actions = (await holdfast.audit({ taskId, limit: 10_000 })).map(({ action }) => action)
      const settled = actions.filter((action) => ['completed', 'failed', 'cancelled'].includes(action))
      if (settled.length !== 1) this.#break(`${taskId} settled ${settled.length} times`)
      if (actions[0] !== 'created') this.#break(`${taskId} begins with ${actions[0]}`)
      const after = actions.slice(actions.findIndex((action) => settled.includes(action)) + 1)
      // A client may look at a checkpoint of a settled task; nothing else happens to one.
      if (after.some((action) => action !== 'checkpoint-restored')) this.#break(`${taskId} went on: ${actions.join()}`)

      const log = (await holdfast.steps(taskId)).flatMap(({ steps }) => steps)
      if (log.some(({ state }) => state === 'running')) this.#break(`${taskId} has a step that runs for ever`)
      if (kind === 'body' && status === 'completed' && type !== 'endless' && type !== 'long')
        this.#readCalls(taskId, outcome)
      if (type === 'chains' && status === 'completed') {
        const calls = callsOf(outcome)
        if (log.length !== calls.length) this.#break(`${taskId} has ${log.length} records for ${calls.length} steps`)
      }
      const there = new Set(log.map(({ name, number }) => `${name} ${number}`))
      for (const id of type === 'loop' ? [] : (this.recorded.get(taskId) ?? [])) {
        if (!there.has(id)) this.#break(`${taskId} was told to have recorded ${id}, which is gone`)
      }
    }
    for (const { taskId, checkpointId, state } of this.clientCheckpoints) {
      const restored = await holdfast.restoreCheckpoint(taskId, { checkpointId }).catch((error: unknown) => error)
      const { state: kept } = restored as { state?: unknown }
      if (JSON.stringify(kept) !== JSON.stringify(state))
        this.#break(`client's checkpoint ${checkpointId}: ${restored}`)
    }
    await this.#readBodyCheckpoints(holdfast)
    return views.size
  }

  /** The output of a task names every call that it was made of: those that were acknowledged among them. */
  #readCalls(taskId: string, outcome: unknown): void {
    const calls = callsOf(outcome)
    const byKey = new Map(calls.map((call) => [call.slice(0, call.indexOf('@')), call]))
    if (byKey.size !== calls.length) this.#break(`${taskId} has a step twice in ${calls.join()}`)
    for (const [id, { value, key, taskId: of }] of this.answers) {
      if (of === taskId && byKey.get(key) !== value)
        this.#break(`${id} was ${value}; its task made of it ${calls.join()}`)
    }
  }

  /** A checkpoint is there, or a later one has pruned it; and each was saved once. */
  async #readBodyCheckpoints(holdfast: Holdfast): Promise<void> {
    const byTask = new Map<string, Map<number, string>>()
    for (const { taskId, checkpointId, ...line } of this.checkpoints) {
      const rows = byTask.get(taskId) ?? new Map<number, string>()
      const { row } = line as unknown as { row: number }
      const first = rows.get(row)
      if (first !== undefined && first !== checkpointId) this.#break(`${taskId} saved row ${row} twice`)
      byTask.set(taskId, rows.set(row, checkpointId))
    }
    for (const [taskId, rows] of byTask) {
      const kept = (await holdfast.listCheckpoints(taskId)).filter(({ savedBy }) => savedBy === 'body')
      const newest = Number(kept.at(-1)?.label?.slice(4) ?? -1)
      for (const [row, checkpointId] of rows) {
        const isThere = kept.some((info) => info.checkpointId === checkpointId)
        const prunedFrom = newest - (newest % 2)
        if (!isThere && row >= prunedFrom) this.#break(`checkpoint ${checkpointId} of row ${row} is gone, of ${newest}`)
      }
    }
  }
}

function callsOf(outcome: unknown): readonly string[] {
  return (outcome as { result: { calls: readonly string[] } }).result.calls
}

function withoutStacks(outcome: unknown): string {
  return JSON.stringify(outcome, (key, value: unknown) => (key === 'stack' ? undefined : value))
}

describe('a process that is killed', () => {
  let url = ''

  beforeAll(async () => {
    url = await build()
  }, 60_000)

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('over and over loses nothing, repeats nothing, settles nothing twice and leaves nothing behind', async () => {
    const lives = await Promise.all(Array.from({ length: STORES }, (_, store) => killOverAndOver(store)))
    expect(lives.flatMap(({ broken }) => broken)).toEqual([])
    const sum = (of: (life: (typeof lives)[number]) => number) => lives.reduce((total, life) => total + of(life), 0)
    console.info(
      `killed ${sum(({ kills }) => kills)} times, ${sum(({ early }) => early)} of them before the store was open: ` +
        `${sum(({ words }) => words)} facts acknowledged about ${sum(({ tasks }) => tasks)} tasks, ` +
        `${sum(({ begun }) => begun)} calls of steps, ${sum(({ again }) => again)} of them again, unrecorded`,
    )
    if (process.env['KILLS'] === undefined) expect(sum(({ kills }) => kills)).toBeGreaterThanOrEqual(100)
    // Without these the kills would have proved nothing.
    expect(sum(({ early }) => early)).toBeGreaterThan(0)
    expect(sum(({ tasks }) => tasks)).toBeGreaterThan((STORES * KILLS_PER_STORE) / 2)
  }, 150_000)

  test('while it makes its store leaves a directory that the next one opens', async () => {
    const wrong: string[] = []
    const dieAndOpen = async (at: number) => {
      const args = (round: number, mode: string) => [
        url,
        join(folder, `new-${at}`),
        `${folder}/new.log`,
        '1',
        `${round}`,
        mode,
      ]
      await live(args(0, 'work'), { after: 'alive', ms: at })
      const { code, errors } = await live(args(1, 'drain'), { never: true })
      if (code !== 0) wrong.push(`killed after ${at} ms, the next open ended with ${code}: ${errors.slice(0, 500)}`)
    }
    for (let at = 0; at < 24; at += 2) await Promise.all([dieAndOpen(at), dieAndOpen(at + 1)])
    expect(wrong).toEqual([])
  }, 60_000)

  async function killOverAndOver(store: number) {
    const random = randomOf(seed + store)
    const dir = join(folder, `store-${store}`)
    const journal = join(folder, `journal-${store}`)
    const ledger = new Ledger()
    const args = (round: number, mode: string) => [url, dir, journal, String(seed + store), String(round), mode]
    let kills = 0
    let early = 0
    for (let round = 0; round < KILLS_PER_STORE; round++) {
      const death = deathOf(random)
      const { lines, code, errors } = await live(args(round, 'work'), death)
      for (const line of lines) ledger.take(line)
      if (code === null) kills++
      else ledger.broken.push(`round ${round} ended by itself with ${code}: ${errors.slice(0, 2_000)}`)
      if (!lines.some(({ fact }) => fact === 'open')) early++
      if (ledger.broken.length > 20) break
    }
    const { lines, code, errors } = await live(args(KILLS_PER_STORE, 'drain'), { never: true })
    for (const line of lines) ledger.take(line)
    if (code !== 0) ledger.broken.push(`the last process ended with ${code}: ${errors.slice(0, 2_000)}`)
    const report = lines.find(({ fact }) => fact === 'report')
    if (report?.tasks.length !== report?.found)
      ledger.broken.push(`${report?.tasks.length} of ${report?.found} reported`)

    const { begun, again } = existsSync(journal) ? ledger.readJournal(journal) : { begun: 0, again: 0 }
    const holdfast = await Holdfast.open({ dir, logger: silentLogger, recover: 'manual' })
    const tasks = await ledger.readStore(holdfast)
    await holdfast.close()
    return { broken: ledger.broken, kills, early, tasks, words: ledger.words, begun, again }
  }
})
