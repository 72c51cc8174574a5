/**
 * The process that soak.test.ts kills. It opens the store, keeps so many tasks live, and does what its driver says on
 * standard input. What happens goes to the journal, one line and one synchronous write each: effects when they begin and
 * end, and what was told when it was told. Standard output is for the driver: what it may answer, send or cancel.
 *
 *   node soak-child.mjs <URL of the built package> <store> <journal> <seed> <round> <next number> <live tasks> work|drain
 *
 * A task is a list of made-up operations, and that is its input, so that every process plays the same. Each has a path,
 * and every name contains it: no two effects of a task have the same name.
 */
import { openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'

const [, , url = '', dir = '', journalPath = '', ...words] = process.argv
const [seedText, roundText, nextText, liveText, mode] = words
const seed = Number(seedText)
const round = Number(roundText)
const liveMax = Number(liveText)

/** @type {typeof import('holdfast')} */
const { defineTask, Holdfast, HoldfastError, silentLogger, StepFailedError } = await import(url)

/**
 * @typedef {{ kind: string, ms: number, timeout?: number, branches?: Op[], ops?: Op[] }} Op
 * @typedef {{ number: number, ops: Op[] }} Input
 */

const journal = openSync(journalPath, 'a')

/** @param {number} file @param {Record<string, unknown>} line */
function write(file, line) {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(file, bytes, at)
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN') throw error
    }
  }
}
/** @param {string} fact @param {Record<string, unknown>} [about] */
const note = (fact, about) => write(journal, { fact, round, at: Date.now(), ...about })
/** @param {string} fact @param {Record<string, unknown>} [about] */
const say = (fact, about) => write(1, { fact, ...about })

/** @param {number} from */
function randomFrom(from) {
  let state = from >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
const chance = randomFrom(seed + round * 7919)
/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// --- tasks ----------------------------------------------------------------------------------------------------------

const KINDS = [
  ...['step', 'step', 'charge', 'charge', 'sleep', 'sleep', 'input', 'receive'],
  ...['race', 'race', 'any', 'all', 'child', 'flaky'],
]
const IN_A_BRANCH = ['step', 'charge', 'charge', 'sleep', 'input', 'receive', 'child']
// Not in an `any`: what a branch did that then failed by itself is passed over, and stands.
const IN_A_BRANCH_THAT_MAY_FAIL = [...IN_A_BRANCH, 'flaky']

/** @param {() => number} random @param {number} count @param {readonly string[]} kinds @returns {Op[]} */
function makeUp(random, count, kinds) {
  const isOutside = kinds === KINDS
  const most = isOutside ? 6_000 : 1_500
  return Array.from({ length: count }, () => {
    const kind = kinds[Math.floor(random() * kinds.length)] ?? 'step'
    const ms = Math.floor(random() * (kind === 'sleep' ? most : 40))
    /** @type {Op} */
    const op = { kind, ms }
    if ((kind === 'input' || kind === 'receive') && random() < 0.3) op.timeout = 200 + Math.floor(random() * 2_000)
    if (kind === 'child')
      op.ops = makeUp(random, 1 + Math.floor(random() * 3), ['step', 'charge', 'sleep', 'input', 'flaky', 'race'])
    if (kind === 'race' || kind === 'any' || kind === 'all') {
      const within = kind === 'any' || !isOutside ? IN_A_BRANCH : IN_A_BRANCH_THAT_MAY_FAIL
      const nested = random() < 0.3 && isOutside ? [...within, 'race'] : within
      op.branches = ['x', 'y'].map(() => ({
        kind: 'list',
        ms: 0,
        ops: makeUp(random, 1 + Math.floor(random() * 2), nested).filter(
          // A child within a branch is one of few: each is a task more.
          ({ kind }) => kind !== 'child' || random() < 0.4,
        ),
      }))
    }
    return op
  })
}

/** @param {number} number @returns {Input} */
function inputOf(number) {
  const random = randomFrom(seed * 31 + number)
  const ops = makeUp(random, 3 + Math.floor(random() * 5), KINDS)
  // It waits for an answer that nobody gives.
  return { number, ops: number % 50 === 7 ? [...ops, { kind: 'forever', ms: 0 }] : ops }
}

let calls = 0
/**
 * An effect, and its value, which names the call that it came from.
 * @param {import('holdfast').TaskContext} task
 * @param {string} name
 * @param {number} ms
 * @param {number} failing how likely the effect throws
 * @param {import('holdfast').StepOptions} [options]
 */
function step(task, name, ms, failing, options) {
  const { taskId } = task
  const fn = async () => {
    const call = `${name}@${round}.${++calls}`
    note('begin', { taskId, name, call })
    await sleep(ms)
    if (chance() < failing) throw new Error(`made up: ${call}`)
    note('end', { taskId, name, call })
    return call
  }
  return task.step(name, fn, options)
}

/** What a wait came to, if it may time out. @param {() => Promise<unknown>} wait @param {string} code */
async function orTimeout(wait, code) {
  try {
    return await wait()
  } catch (error) {
    const { cause } = /** @type {Error} */ (error)
    if (![error, cause].some((each) => each instanceof HoldfastError && each.code === code)) throw error
    return 'timeout'
  }
}

const RETRY = { maximumAttempts: 30, initialInterval: 20, maximumInterval: 200 }

/**
 * Plays one operation. The values of all that were played to their end are in `values`.
 * @param {import('holdfast').TaskContext} task
 * @param {Op} op
 * @param {string} path
 * @param {number} number
 * @returns {Promise<Record<string, unknown>>}
 */
async function play(task, op, path, number) {
  const { taskId } = task
  const wait = op.timeout === undefined ? {} : { timeout: op.timeout }
  switch (op.kind) {
    case 'step':
      return { [`step ${path}`]: await step(task, `step ${path}`, op.ms, 0.25, { retry: RETRY }) }
    case 'charge':
      return { [`charge ${path}`]: await step(task, `charge ${path}`, op.ms, 0.1, { retry: RETRY }) }
    case 'flaky':
      // One attempt: what it throws ends the attempt of the task.
      return { [`flaky ${path}`]: await step(task, `flaky ${path}`, op.ms, 0.5) }
    case 'sleep':
      await task.sleep(`sleep ${path}`, op.ms + 1)
      return {}
    case 'forever':
      return { forever: await task.input('forever', { never: true }) }
    case 'input':
      return {
        [`input ${path}`]: await orTimeout(() => task.input(`input ${path}`, { number }, wait), 'INPUT_TIMEOUT'),
      }
    case 'receive':
      say('wants', { taskId, name: `mail ${path}` })
      return { [`mail ${path}`]: await orTimeout(() => task.receive(`mail ${path}`, wait), 'RECEIVE_TIMEOUT') }
    case 'child':
      try {
        const input = { number, ops: op.ops ?? [] }
        return { [`child ${path}`]: await task.child('part', input, { name: `child ${path}` }) }
      } catch (error) {
        // It failed, or somebody cancelled it: that is no reason to fail too.
        if (!(error instanceof StepFailedError)) throw error
        return { [`child ${path}`]: 'no result' }
      }
    case 'list':
      return playAll(task, op.ops ?? [], path, number)
    default: {
      const [one, other] = /** @type {[Op, Op]} */ (op.branches)
      const branches = {
        /** @param {import('holdfast').TaskContext} t */
        x: (t) => play(t, one, `${path}x`, number),
        /** @param {import('holdfast').TaskContext} t */
        y: (t) => play(t, other, `${path}y`, number),
      }
      if (op.kind === 'race') return await task.race(branches)
      if (op.kind === 'any') return await task.any(branches)
      const { x, y } = await task.all(branches)
      return { ...x, ...y }
    }
  }
}

/**
 * @param {import('holdfast').TaskContext} task
 * @param {Op[]} ops
 * @param {string} path
 * @param {number} number
 */
async function playAll(task, ops, path, number) {
  /** @type {Record<string, unknown>} */
  let values = {}
  for (const [index, op] of ops.entries()) {
    values = { ...values, ...(await play(task, op, `${path}${index}`, number)) }
  }
  return values
}

/** Takes a charge back. @param {import('holdfast').CleanUpContext} context @param {{ step: string }} step */
async function takeBack({ taskId, idempotencyKey: key }, { step: name }) {
  note('undo begin', { taskId, name, key })
  await sleep(chance() * 20)
  if (chance() < 0.2) throw new Error('made up: the undo')
  note('undo end', { taskId, name, key })
}

/** Every path that `play` can make: digits, and `x` or `y` at most twice. */
function paths() {
  const digits = [...'0123456789']
  const within = (/** @type {string[]} */ outer) =>
    outer.flatMap((at) => ['x', 'y'].flatMap((b) => ['0', '1'].map((n) => at + b + n)))
  const first = within(digits)
  return [...digits, ...first, ...within(first)]
}

const about = {
  retry: { maximumAttempts: 3, initialInterval: 100, maximumInterval: 500 },
  undo: Object.fromEntries(paths().map((path) => [`charge ${path}`, takeBack])),
  /** @param {import('holdfast').CleanUpContext} context */
  onCancel: ({ taskId }) => note('onCancel', { taskId }),
  cleanUp: { retry: { maximumAttempts: 100, initialInterval: 20, maximumInterval: 200 }, grace: 500 },
}
/** @param {import('holdfast').TaskContext} task @param {Input} input */
const body = (task, { number, ops }) => playAll(task, ops, '', number)
const job = defineTask({ name: 'job', ...about }, body)
const part = defineTask({ name: 'part', ...about }, body)

// --- the process ----------------------------------------------------------------------------------------------------

say('alive')
// What was decided before this instant, another process decided; it is dead.
note('begins')
const holdfast = await Holdfast.open({
  dir,
  tasks: [job, part],
  // Most waits are let go of, and replayed.
  unloadAfter: 500,
  logger: silentLogger,
})

let live = 0
holdfast.on('task:created', ({ taskId, type }) => {
  if (type === 'job') live++
  note('created', { taskId, type })
  say('created', { taskId, type })
})
holdfast.on('task:settled', ({ taskId, type, status }) => {
  if (type === 'job') live--
  note('settled', { taskId, status })
})
holdfast.on('task:cleaned-up', ({ taskId, cleanUp }) => note('cleaned up', { taskId, cleanUp }))
holdfast.on('task:input-required', ({ taskId, key }) => say('asks', { taskId, key }))
holdfast.on('step:recorded', ({ taskId, step: name, failed }) => note('recorded', { taskId, name, failed }))

/** @param {import('holdfast').TaskStatus[]} [status] */
async function all(status) {
  /** @type {import('holdfast').TaskView[]} */
  const tasks = []
  for (let cursor; ; ) {
    const page = await holdfast.list({
      limit: 1_000,
      ...(status && { status }),
      ...(cursor !== undefined && { cursor }),
    })
    tasks.push(...page.tasks)
    cursor = page.cursor
    if (cursor === undefined) return tasks
  }
}
const unfinished = () => all(['pending', 'running', 'input_required'])

/** What the task asks for. @param {string} taskId */
async function announce(taskId) {
  const { inputRequests = {} } = await holdfast.get(taskId)
  const keys = Object.keys(inputRequests)
  for (const key of keys) say('asks', { taskId, key })
  return keys
}

const OVER = ['TASK_SETTLED', 'TASK_PARKED', 'NOT_PARKED', 'CLOSED']

/** Does it, unless the task is settled, parked, or resumed already, or all is done. @param {() => Promise<unknown>} act */
async function unlessOver(act) {
  try {
    await act()
  } catch (error) {
    const isOver = error instanceof HoldfastError && OVER.includes(error.code)
    if (!isOver) throw error
  }
}

createInterface({ input: process.stdin }).on('line', async (text) => {
  const { act, taskId, name, value } = JSON.parse(text)
  await unlessOver(async () => {
    if (act === 'respond') {
      const { accepted } = await holdfast.respond(taskId, { [name]: value })
      for (const key of accepted) note('accepted', { taskId, key })
    } else if (act === 'send') {
      await holdfast.send(taskId, name, value, { idempotencyKey: name })
      note('sent', { taskId, name })
    } else {
      await holdfast.cancel(taskId, { reason: 'the driver says so' })
      note('was cancelled', { taskId })
    }
  })
  if (act === 'send') say('sent', { taskId, name })
})

const found = await unfinished()
live += found.filter(({ type }) => type === 'job').length
note('found', { found: found.length })
say('open', {})
for (const { taskId, status } of found) if (status === 'input_required') void announce(taskId).catch(() => {})
holdfast.recovery.done.then(({ found, tasks }) => {
  /** @type {Record<string, number>} */
  const actions = {}
  for (const { action } of tasks) actions[action] = (actions[action] ?? 0) + 1
  note('recovery', { found, actions })
})

async function work() {
  let next = Number(nextText)
  for (;;) {
    const missing = Math.min(50, liveMax - live)
    const starts = Array.from({ length: Math.max(0, missing) }, async () => {
      const number = next++
      say('number', { number })
      const { taskId } = await holdfast.start(job, inputOf(number), { idempotencyKey: String(number) })
      note('started', { taskId, number })
    })
    await Promise.all(starts)
    await sleep(20)
  }
}

/** What is not over yet, but for what waits for an answer that nobody gives. */
async function whatIsLeft() {
  /** @type {import('holdfast').TaskView[]} */
  const left = []
  for (const task of await all()) {
    const isSettled = ['completed', 'failed', 'cancelled'].includes(task.status)
    if (isSettled && task.cleanUp !== 'pending') continue
    if (task.parked?.code === 'POISONED') {
      // Killed from outside too often while it ran; it did no harm.
      await unlessOver(() => holdfast.resume(task.taskId))
      note('resumed', { taskId: task.taskId })
    }
    const keys = task.status === 'input_required' ? await announce(task.taskId) : []
    if (keys.length !== 1 || !keys[0]?.startsWith('forever')) left.push(task)
  }
  return left
}

if (mode === 'drain') {
  for (let left = await whatIsLeft(); left.length > 0; left = await whatIsLeft()) {
    const shown = left.slice(0, 5).map(({ taskId }) => holdfast.get(taskId))
    say('left', { number: left.length, tasks: await Promise.all(shown) })
    await sleep(200)
  }
  say('levels', { levels: (await holdfast.stats()).levels })
  await holdfast.close()
  say('drained')
  process.exit(0)
} else await work()
