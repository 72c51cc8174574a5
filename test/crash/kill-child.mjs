/**
 * The process that kill.test.ts kills. It opens the store, keeps it busy in every way there is, and says each fact it
 * was told on standard output, one line and one synchronous write each, after the promise that told it resolved. A
 * step's function writes to a journal when it begins and when it ends.
 *
 *   node kill-child.mjs <URL of the built package> <store> <journal> <seed> <round> work|drain
 *
 * Every line has a count `n` that runs through both files, so the parent knows what came first.
 */
import { openSync, writeSync } from 'node:fs'

const [, , url = '', dir = '', journalPath = '', seedText = '0', roundText = '0', mode = 'work'] = process.argv
const round = Number(roundText)

/** @type {typeof import('holdfast')} */
const { defineTask, Holdfast, HoldfastError, silentLogger } = await import(url)

const journal = openSync(journalPath, 'a')
let count = 0

/** @param {number} file @param {Record<string, unknown>} line */
function write(file, line) {
  const bytes = Buffer.from(`${JSON.stringify({ n: ++count, round, ...line })}\n`)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(file, bytes, at)
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN') throw error
    }
  }
}

/** @param {string} fact @param {Record<string, unknown>} about */
const say = (fact, about) => write(1, { fact, ...about })

let state = Number(seedText) + round * 7919
function random() {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0
  return (state >>> 8) / 2 ** 24
}
/** @param {number} end */
const upTo = (end) => Math.floor(random() * end)
/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// --- tasks ----------------------------------------------------------------------------------------------------------

/**
 * A step whose value nobody can make up twice: which function call it came from.
 * @param {import('holdfast').TaskContext} task
 * @param {string} name
 * @param {string} key which step of its task it is
 * @param {{ ms?: number, fails?: boolean }} [how]
 * @returns {Promise<string>}
 */
async function step(task, name, key, { ms = 0, fails = false } = {}) {
  const { taskId } = task
  const call = async () => {
    const call = `${key}@${process.pid}.${count}`
    write(journal, { at: 'begin', taskId, key, call })
    if (ms > 0) await sleep(ms)
    write(journal, { at: 'end', taskId, key, call })
    if (fails) throw new Error(call)
    return call
  }
  let value = ''
  try {
    value = await task.step(name, call)
  } catch (error) {
    const { cause } = /** @type {Error} */ (error)
    if (!fails || !(cause instanceof Error)) throw error
    value = cause.message
  }
  say('answered', { taskId, key, value, wrong: !value.startsWith(`${key}@`) })
  return value
}

const loop = defineTask({ name: 'loop' }, async (task, /** @type {{ rows: number }} */ { rows }) => {
  const plan = await step(task, 'plan', 'plan')
  /** @type {{ row: number, calls: string[] }} */
  const first = { row: 0, calls: [plan] }
  let { row, calls } = (await task.restoreCheckpoint())?.state ?? first
  while (row < rows) {
    calls = [...calls, await step(task, 'load', `load ${row}`, { ms: row % 3 })]
    if (row % 3 === 0) calls = [...calls, await step(task, 'load', `check ${row}`, { fails: row % 2 === 0 })]
    row++
    const { checkpointId } = await task.saveCheckpoint({ row, calls }, { prune: row % 2 === 0, label: `row ${row}` })
    say('checkpoint', { taskId: task.taskId, checkpointId, row })
    task.progress({ done: row, total: rows })
  }
  return { calls }
})

const chains = defineTask({ name: 'chains' }, async (task, /** @type {{ links: number }} */ { links }) => {
  const chain = async (/** @type {string} */ which, /** @type {number} */ late) => {
    const calls = []
    for (let tick = 0; tick < late; tick++) await null
    for (let link = 0; link < links; link++) {
      const ms = (link * 7 + late * 5) % 4
      calls.push(await step(task, link % 2 === 0 ? 'link' : 'other', `${which}${link}`, { ms }))
    }
    return calls
  }
  return { calls: (await Promise.all([chain('x', 0), chain('y', 3), chain('z', 6)])).flat() }
})

const failing = defineTask({ name: 'failing' }, async (task) => {
  const call = await step(task, 'charge', 'charge', { fails: true, ms: 2 })
  await step(task, 'notify', 'notify')
  throw new Error(call)
})

const long = defineTask({ name: 'long' }, async (task) => {
  const { taskId } = task
  const whole = await task.step('upload', async ({ checkpoint, saveCheckpoint }) => {
    const from = /** @type {{ part: number } | undefined} */ (checkpoint)?.part ?? 0
    write(journal, { at: 'resume', taskId, part: from })
    for (let part = from; part < 12; part++) {
      await sleep(4)
      await saveCheckpoint({ part: part + 1 })
      say('part', { taskId, part: part + 1 })
    }
    return 'whole'
  })
  return { calls: [whole] }
})

const endless = defineTask({ name: 'endless' }, async (task) => {
  for (let turn = 0; turn < 60; turn++) await step(task, 'turn', `turn ${turn}`, { ms: 5 })
  return 'nobody cancelled it'
})

const tasks = [loop, chains, failing, long, endless]

// --- clients --------------------------------------------------------------------------------------------------------

say('alive', {})
// Nobody here kills but the test: on a slow machine a task may die five times before it records anything.
const holdfast = await Holdfast.open({ dir, tasks, logger: silentLogger, maximumRecoveries: 1_000 })
say('open', { found: (await holdfast.list({ status: ['pending', 'running'], limit: 1_000 })).tasks.length })

holdfast.on('step:recorded', ({ taskId, step, number }) => say('recorded', { taskId, step, number }))

/** Says what a task settled with, as often as anybody is told. @param {string} taskId */
async function watch(taskId) {
  await holdfast.result(taskId).catch(() => {})
  const { status, outcome } = await holdfast.get(taskId)
  say('settled', { taskId, status, outcome })
}

/** @param {string} type @param {Promise<{ taskId: string, created?: boolean }>} starting @param {string} [key] */
async function started(type, starting, key) {
  const { taskId, created = true } = await starting
  say('started', { taskId, type, key, created })
  if (type !== 'session') void watch(taskId)
  return taskId
}

/** A refusal that is right when somebody else was first. @param {() => Promise<unknown>} act */
async function unlessSettled(act) {
  try {
    await act()
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'TASK_SETTLED') throw error
  }
}

/** @param {string} taskId @param {string} type */
async function checkpointOn(taskId, type) {
  const state = { type, round, mark: upTo(1_000_000) }
  const { checkpointId } = await holdfast.saveCheckpoint(taskId, state)
  say('client checkpoint', { taskId, checkpointId, state })
  const restored = await holdfast.restoreCheckpoint(taskId, { checkpointId })
  if (JSON.stringify(restored.state) !== JSON.stringify(state)) say('untrue', { what: `checkpoint ${checkpointId}` })
}

/** @param {string} taskId */
async function cancel(taskId) {
  await holdfast.cancel(taskId, { reason: `round ${round}` })
  say('settled', { taskId, status: 'cancelled', outcome: { kind: 'cancelled', reason: `round ${round}` } })
}

/** @param {string} taskId */
async function complete(taskId) {
  const outcome = /** @type {const} */ ({ kind: 'result', result: { round } })
  await holdfast.completeSessionTask(taskId, outcome)
  say('settled', { taskId, status: 'completed', outcome })
}

const unfinished = () => holdfast.list({ status: ['pending', 'running'], limit: 1_000 })

async function work() {
  const found = (await unfinished()).tasks
  for (const { taskId, kind } of found) if (kind === 'body') void watch(taskId)
  for (;;) {
    const open = (await unfinished()).tasks
    const any = open[upTo(open.length)]
    const acts = [
      () => started('loop', holdfast.start(loop, { rows: 4 + upTo(5) }, { owner: `owner ${upTo(3)}` })),
      () => started('chains', holdfast.start(chains, { links: 2 + upTo(3) })),
      () => started('failing', holdfast.start(failing, null)),
      () => started('long', holdfast.start(long, null)),
      () => started('endless', holdfast.start(endless, null)),
      () => started('session', holdfast.createSessionTask({ type: 'talk', owner: 'ann' })),
      () => {
        // The same few keys over and over, in this process and in those before and after.
        const key = `key ${Math.floor(round / 4)}.${upTo(3)}`
        return started('loop', holdfast.start(loop, { rows: 3 }, { owner: 'bob', idempotencyKey: key }), key)
      },
      () => any && unlessSettled(() => checkpointOn(any.taskId, any.type)),
      () => any && any.type === 'endless' && unlessSettled(() => cancel(any.taskId)),
      () => any && any.kind === 'session' && random() < 0.5 && unlessSettled(() => complete(any.taskId)),
    ]
    const few = open.length < 24 ? acts : acts.slice(6)
    const both = [few[upTo(few.length)], few[upTo(few.length)]]
    await Promise.all(both.map((act) => act?.()))
    await sleep(upTo(6))
  }
}

async function drain() {
  const report = await holdfast.recovery.done
  say('report', { found: report.found, tasks: report.tasks.map(({ taskId, action }) => ({ taskId, action })) })
  for (const { taskId, kind } of (await unfinished()).tasks) {
    if (kind === 'session') await complete(taskId)
    else await watch(taskId)
  }
  await holdfast.close()
  say('drained', {})
}

await (mode === 'drain' ? drain() : work())
