/**
 * Goal: while the server is killed and closed at random, every command answers, or ends with a documented code and one sentence. What
 * a command acknowledged is there afterwards, and where its code means that nothing was done, nothing was.
 * Method: workers run commands of all kinds without a pause, through the server or on the store at rest, while a child process is
 * started and ended COMMAND_KILLS (6) times. At the end the store is opened here, and each acknowledgement is compared.
 *
 *   COMMAND_KILLS=200 COMMAND_SEED=7 npx vitest run test/crash/commands
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import { verify } from 'holdfast/admin'
import { untilIdle } from 'holdfast/testing'
import { afterAll, expect, test } from 'vitest'
import { partsOf } from '../../../src/admin/read-backup.js'
import { EXIT_CODES } from '../../../src/cli/terminal/exit-codes.js'
import { runCommandLine } from '../../helpers/command-line.js'
import { randomOf } from '../../helpers/simulation.js'
import { tasksOf } from './tasks.mjs'

const KILLS = Number(process.env['COMMAND_KILLS'] ?? 6)
const SEED = Number(process.env['COMMAND_SEED'] ?? 1)
const WORKERS = 3
const UP_MS_MAX = 800
const DOWN_MS_MAX = 200

const folder = mkdtempSync(join(tmpdir(), 'holdfast-kills-'))
const dir = join(folder, 'store')
const backups = join(folder, 'backups')
mkdirSync(backups)
const tasks = tasksOf(defineTask)
const random = randomOf(SEED)
const below = (max: number) => Math.floor(random() * max)
const children = new Set<ChildProcess>()
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

interface Ran {
  readonly code: number
  readonly out: Record<string, unknown>
  readonly err: string
}

/** Number of ends by command and code. */
const ends = new Map<string, Map<number, number>>()
const faults: string[] = []
/** Errors without a code of their own. */
const ones = new Set<string>()

/** Codes that mean that nothing was done. */
const NOTHING_DONE = Object.entries(EXIT_CODES).flatMap(([code, meaning]) =>
  meaning.includes('Nothing was done') ? [Number(code)] : [],
)

/** Runs a command, and notes an end that no page describes. */
async function command(...args: string[]): Promise<Ran> {
  const { code, out, err } = await runCommandLine(['--dir', dir, '--json', ...args])
  const name = args.slice(0, /^(tasks|checkpoints|backup|audit)$/.test(args[0] as string) ? 2 : 1).join(' ')
  const codes = ends.get(name) ?? new Map<number, number>()
  ends.set(name, codes.set(code, (codes.get(code) ?? 0) + 1))
  const told = code === 0 ? undefined : sentenceOf(err)
  if (code === 1) ones.add(`${name}: ${err}`)
  const isDocumented = Object.hasOwn(EXIT_CODES, code) && (code === 0 || (told !== undefined && told.exitCode === code))
  if (!isDocumented) faults.push(`${args.join(' ')} ended with ${code}: ${err}`)
  return { code, out: code === 0 ? (JSON.parse(out.split('\n')[0] || '{}') as Ran['out']) : {}, err }
}

/** The error object of a command; `undefined` for anything but one sentence. */
function sentenceOf(err: string): { exitCode: number } | undefined {
  try {
    const { error } = JSON.parse(err) as { error: { exitCode: number; message: string } }
    return /^[A-Z'`]/.test(error.message) && !/undefined|\[object|\n/.test(error.message) ? error : undefined
  } catch {
    return undefined
  }
}

/** Tasks by what was acknowledged about them. */
const started = new Map<string, string>()
const refusedOwners: string[] = []
const cancelled = new Set<string>()
const deleted = new Set<string>()
const maybeChanged = new Set<string>()
const answers = new Map<string, number>()
const sent = new Set<string>()
const files = new Map<string, readonly string[]>()
let numbers = 0

const anyTask = (type?: string) => {
  const known = [...started].filter(([, each]) => type === undefined || each === type)
  return known[below(known.length)]?.[0] ?? 'task-none'
}

/** A command of each kind, with what its acknowledgement promises. */
const COMMANDS: readonly (() => Promise<unknown>)[] = [
  start,
  start,
  start,
  () => command('tasks', 'list', '--limit', '20'),
  () => command('tasks', 'get', anyTask()),
  () => command('tasks', 'steps', anyTask('counts')),
  () => command('tasks', 'explain', anyTask()),
  () => command('checkpoints', 'list', anyTask('counts')),
  () => command('stats'),
  () => command('health'),
  () => command('recovery'),
  () => command('audit', 'list', '--limit', '50'),
  () => command('doctor'),
  () => command('verify'),
  () => command('compact'),
  () => command('tasks', 'retry', anyTask('flaky')),
  () => command('tasks', 'cancel', '--type', 'flaky', '--dry-run'),
  async function cancel() {
    const taskId = anyTask()
    const { code } = await command('tasks', 'cancel', taskId, '--reason', 'trial')
    if (code === 0) cancelled.add(taskId)
    if (code === 9) maybeChanged.add(taskId)
  },
  async function remove() {
    const taskId = anyTask('counts')
    maybeChanged.add(taskId)
    const { code } = await command('tasks', 'delete', taskId)
    if (code === 0) deleted.add(taskId)
  },
  async function answer() {
    const taskId = anyTask('asks')
    const number = ++numbers
    const { code } = await command('tasks', 'respond', taskId, 'go-on', String(number))
    if (code === 0) answers.set(taskId, number)
  },
  async function send() {
    const taskId = anyTask('listens')
    const { code } = await command('tasks', 'send', taskId, 'go', String(++numbers))
    if (code === 0) sent.add(taskId)
  },
  async function fork() {
    const { code, out } = await command('tasks', 'fork', anyTask('counts'), '--after-step', 'add')
    if (code === 0) started.set(out['taskId'] as string, 'counts')
  },
  async function backup() {
    const file = join(backups, `backup-${++numbers}`)
    const before = [...started.keys()].filter((taskId) => !maybeChanged.has(taskId))
    const { code } = await command('backup', 'create', file)
    if (code === 0) files.set(file, before)
  },
]

async function start(): Promise<void> {
  const type = ['counts', 'counts', 'asks', 'listens', 'flaky'][below(5)] as string
  const owner = `owner-${++numbers}`
  const { code, out } = await command('tasks', 'start', type, '--owner', owner)
  if (code === 0) started.set(out['taskId'] as string, type)
  else if (NOTHING_DONE.includes(code)) refusedOwners.push(owner)
}

/** Runs the server for a random time. Kills it, also before it is ready; or closes it, one time in four. */
async function serveForAWhile(): Promise<void> {
  const url = new URL('../../../dist/index.js', import.meta.url).href
  const path = fileURLToPath(new URL('./server-child.mjs', import.meta.url))
  const child = spawn(process.execPath, [path, url, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  const exit = once(child, 'exit')
  if (below(5) > 0) await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), exit])
  await Promise.race([delay(below(UP_MS_MAX)), exit])
  if (child.exitCode !== null) faults.push(`the server ended by itself with ${child.exitCode}`)
  child.kill(below(4) === 0 ? 'SIGTERM' : 'SIGKILL')
  await exit
  children.delete(child)
}

test(
  `${KILLS} servers are ended while commands run, and no acknowledgement is lost (seed ${SEED})`,
  async () => {
    const first = await Holdfast.open({ dir, tasks, logger: silentLogger })
    for (const { name } of [...tasks, ...tasks]) started.set((await first.start(name, undefined)).taskId, name)
    await untilIdle(first)
    await first.close()
    let isOver = false
    const work = async () => {
      while (!isOver) await (COMMANDS[below(COMMANDS.length)] as () => Promise<unknown>)()
    }
    const workers = Promise.all(Array.from({ length: WORKERS }, work))
    for (let kills = 0; kills < KILLS; kills++) {
      await serveForAWhile()
      await delay(below(DOWN_MS_MAX))
    }
    isOver = true
    await workers
    console.log([tableOf(ends), ...ones].join('\n'))
    expect(faults).toEqual([])

    const holdfast = await Holdfast.open({ dir, tasks, logger: silentLogger })
    // Each start may have been killed before a task did anything.
    if (holdfast.recovery.heldReason !== undefined) await holdfast.recover()
    await holdfast.recovery.done
    await untilIdle(holdfast)
    for (const [taskId] of started) {
      const task = await holdfast.get(taskId).catch((error: { code: string }) => error.code)
      if (deleted.has(taskId)) expect(task).toBe('TASK_NOT_FOUND')
      else if (typeof task === 'string') expect(maybeChanged, `${taskId} is gone`).toContain(taskId)
      else {
        if (cancelled.has(taskId)) expect(task.status, taskId).toBe('cancelled')
        else if (answers.has(taskId) && !maybeChanged.has(taskId)) {
          expect(task.outcome, taskId).toEqual({ kind: 'result', result: answers.get(taskId) })
        } else if (sent.has(taskId) && !maybeChanged.has(taskId)) expect(task.status, taskId).toBe('completed')
      }
    }
    for (const owner of refusedOwners) expect((await holdfast.list({ owner })).tasks, owner).toEqual([])
    expect(await verify({ holdfast })).toMatchObject({ isSound: true, findings: [] })
    expect(readdirSync(dir).filter((name) => name.startsWith('db.links-'))).toEqual([])
    await holdfast.close()

    expect(readdirSync(backups).sort()).toEqual([...files.keys()].map((file) => file.slice(backups.length + 1)).sort())
    for (const [file, known] of files) {
      const keys = new Set<string>()
      for await (const part of partsOf(file)) {
        if (part.kind === 'records') for (const [key] of part.records) keys.add(key)
      }
      expect(
        known.filter((taskId) => !keys.has(`task/${taskId}`) && !maybeChanged.has(taskId)),
        file,
      ).toEqual([])
    }
  },
  60_000 + KILLS * 10_000,
)

function tableOf(counts: typeof ends): string {
  const all = [...counts.values()].flatMap((codes) => [...codes.values()]).reduce((sum, count) => sum + count, 0)
  const rows = [...counts].map(
    ([name, codes]) => `${name}: ${[...codes].map(([code, count]) => `${count} × ${code}`).join(', ')}`,
  )
  return [`${all} commands`, ...rows.sort()].join('\n')
}
