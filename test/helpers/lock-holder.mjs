/**
 * Somebody who opens stores: as a process (commands as lines of JSON on standard input, answers on standard output) or
 * as a worker thread (messages). A holder is what the library is: it takes our lock, opens `<dir>/db` and confirms.
 * It runs the sources through tsx, never a stale build.
 */
import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { isMainThread, parentPort } from 'node:worker_threads'
import { ClassicLevel } from 'classic-level'
import { register } from 'tsx/esm/api'

register() // here and not by `--import tsx`, which does nothing in a worker thread
const { acquireLock } = await import('../../src/store/lock/lock.js')

/** @type {Map<string, { lock: import('../../src/store/lock/lock.js').DirectoryLock, db?: ClassicLevel }>} */
const held = new Map()

/** @param {string} dir */
async function takeLock(dir) {
  const lock = await acquireLock(dir, { seed: () => randomUUID() }, Date.now())
  held.set(dir, { lock })
}

/** @param {string} dir */
async function openDatabase(dir) {
  const { lock } = held.get(dir) ?? raise(new Error(`${dir} is not locked`))
  try {
    for (let attempt = 1; ; attempt++) {
      const db = new ClassicLevel(join(dir, 'db'))
      held.set(dir, { lock, db })
      const locked = await db.open().then(
        () => false,
        (error) => error.cause?.code === 'LEVEL_LOCKED' || raise(error),
      )
      if (!locked) break
      // A probe of somebody who is about to be refused may be at LevelDB's lock for some milliseconds.
      if (attempt === 40) raise(new Error('LevelDB is held by somebody else'))
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    await lock.confirm()
  } catch (error) {
    await leave(dir)
    throw error
  }
}

/** @param {string} dir */
async function leave(dir) {
  await held.get(dir)?.db?.close()
  await held.get(dir)?.lock.release()
  held.delete(dir)
}

/**
 * @param {unknown} error
 * @returns {never}
 */
function raise(error) {
  throw error
}

/** @type {Record<string, (dir: string, at: number) => Promise<unknown>>} */
const commands = {
  /** Takes the lock and opens the database, at the instant given: contenders start together. */
  async open(dir, at) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, at - Date.now() - 5)))
    while (Date.now() < at); // the last moments without giving up the processor
    const startedAt = performance.now()
    await takeLock(dir)
    const lockMs = performance.now() - startedAt
    await openDatabase(dir)
    return { pid: process.pid, lockMs }
  },
  lock: takeLock,
  database: openDatabase,
  close: leave,
  async write(dir) {
    const db = held.get(dir)?.db ?? raise(new Error(`${dir} is not open`))
    await db.put('written', String(Date.now()), { sync: true })
  },
  /** Past our lock: only LevelDB's own can refuse this. */
  async openRaw(dir) {
    await mkdir(dir, { recursive: true })
    const db = new ClassicLevel(join(dir, 'db'))
    await db.open()
    await db.close()
  },
}

/** @param {{ id: number, command: string, dir: string, at: number }} message */
async function answer({ id, command, dir, at }) {
  try {
    return { id, ok: true, ...Object(await commands[command]?.(dir, at)) }
  } catch (error) {
    const { code, message, details, cause } = /** @type {any} */ (error)
    return { id, ok: false, code, message, details, cause: cause?.code }
  }
}

if (isMainThread) {
  createInterface({ input: process.stdin }).on('line', async (line) => {
    process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`)
  })
} else {
  parentPort?.on('message', async (message) => parentPort?.postMessage(await answer(message)))
}
