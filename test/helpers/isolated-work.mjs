// What the tests of `task.isolated` run in processes of their own.
import { spawn } from 'node:child_process'
import { appendFileSync, writeSync } from 'node:fs'
import { runInNewContext } from 'node:vm'

/**
 * @typedef {{ idempotencyKey: string, attempt: number, signal: AbortSignal }} Context
 * @typedef {{ file?: string, n?: number, seconds?: number }} Args
 */

/**
 * @param {unknown} args
 * @param {Context} context
 */
export default function echo(args, { idempotencyKey, attempt, signal }) {
  return { args, idempotencyKey, attempt, isAborted: signal.aborted, pid: process.pid }
}

/** @param {Args} args */
export function note({ file = '', n = 0 }) {
  appendFileSync(file, `${n}\n`)
  return n
}

/** 1 GiB of Buffers, all at once, none of it on V8's heap. */
export function buffers() {
  const kept = Array.from({ length: 64 }, () => Buffer.alloc(16 * 1024 * 1024, 1))
  for (;;) kept.push()
}

export function spin() {
  for (;;);
}

/** @param {Args} args */
export async function work({ seconds = 0 }) {
  const { user, system } = process.cpuUsage()
  const used = () => {
    const now = process.cpuUsage()
    return (now.user + now.system - user - system) / 1e6
  }
  while (used() < seconds);
  return 'done'
}

/** An array that grows without end, for V8 to give up on. */
export function array() {
  const grown = []
  for (;;) grown.push(new Array(100_000).fill(grown.length))
}

/** One array larger than V8 can make: it aborts the process, and throws nothing. */
export function oneArray() {
  return 'x'.repeat(140_000_000).split('').length
}

export function exit() {
  process.exit(3)
}

export function killed() {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

export function throws() {
  throw Object.assign(new RangeError('too far', { cause: new Error('the wind') }), { code: 'E_FAR' })
}

/** An error whose name and code are somebody's data. */
export function throwsData() {
  throw Object.assign(new Error('short'), { name: 'n'.repeat(1_000_000), code: '€'.repeat(10_000_000) })
}

export function throwsOfAnotherRealm() {
  throw runInNewContext(`new RangeError('too far')`)
}

export function throwsLater() {
  setTimeout(() => {
    throw new Error('nobody catches this')
  }, 1)
  return new Promise(() => {})
}

/** @param {Args} _ @param {Context} context */
export function flaky(_, { attempt }) {
  if (attempt < 3) throw new Error(`attempt ${attempt}`)
  return attempt
}

/** Tries everything that leads to standard output. @param {Args} args */
export async function noise({ file = '' }) {
  console.log('NOISE of console')
  process.stdout.write('NOISE of stdout\n')
  writeSync(1, 'NOISE of the descriptor\n')
  const child = spawn('echo', ['NOISE of a child'], { stdio: 'inherit' })
  await new Promise((resolve) => child.on('close', resolve))
  process.stderr.write('x'.repeat(2_000_000))
  appendFileSync(file, 'noise was made\n')
  return 'quiet'
}

/** Says who it is, and what it has started; then never ends. @param {Args} args */
export function idle({ file = '' }) {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  appendFileSync(file, `${process.pid}\n${child.pid}\n`)
  return new Promise(() => {})
}

/** Starts a process that fills 250 MB, and waits for it. @param {Args} args */
export function startsOneThatFills({ file = '' }) {
  const code = 'const kept = Buffer.alloc(250e6, 1); setInterval(() => kept.at(0), 1_000)'
  const child = spawn(process.execPath, ['-e', code], { stdio: 'ignore' })
  appendFileSync(file, `${child.pid}\n`)
  return new Promise((resolve) => child.once('exit', resolve))
}

/** The same as `idle`, and keeps the main thread busy. @param {Args} args */
export function busy({ file = '' }) {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  appendFileSync(file, `${process.pid}\n${child.pid}\n`)
  for (;;);
}

/** Ends when it is told to, and says so. @param {Args} args @param {Context} context */
export function heeds({ file = '' }, { signal }) {
  appendFileSync(file, `${process.pid}\n`)
  return new Promise((_, reject) =>
    signal.addEventListener('abort', () => {
      appendFileSync(file, 'heeded\n')
      reject(signal.reason)
    }),
  )
}

/** Returns, and leaves something behind that would go on. @param {Args} args */
export function leaves({ file = '' }) {
  const child = spawn('sleep', ['600'], { stdio: 'inherit' })
  appendFileSync(file, `${process.pid}\n${child.pid}\n`)
  setInterval(() => {}, 1_000)
  return 'left'
}

export const large = () => 'x'.repeat(5_000)
export const notFinite = () => ({ a: { b: Number.NaN } })
export const map = () => ({ rows: new Map([[1, 2]]) })
export const bigint = () => 5n
export const nothing = () => {}
export const dated = () => ({ at: new Date(0) })
export const notAFunction = 5
