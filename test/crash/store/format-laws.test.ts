// Goal: a store has its parts where the format says, and the checker of the crash suites notices where it has not.
// Method: a store with tasks of each kind on a disk in memory; then one key at a time is removed, brought back or moved.
import { defineTask } from 'holdfast'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { seal, unseal } from '../../../src/store/integrity/envelope.js'
import { brokenFormatLaws } from '../../helpers/format-laws.js'

const LARGE = 'x'.repeat(600)

/** A disk with a settled task and a waiting one, each with small values and with large ones. */
async function filled() {
  const disk = new MemoryDisk()
  const echo = defineTask({ name: 'echo' }, (task, value: string) => task.step('echo', () => value))
  const wait = defineTask({ name: 'wait' }, async (task, _: string) => {
    await task.step('one', () => 1)
    await task.input('ok')
  })
  const holdfast = await openInMemory({ disk, tasks: [echo, wait] })
  const start = async (of: typeof echo | typeof wait, input: string) =>
    (await holdfast.start(of as typeof wait, input)).taskId
  const ids = {
    settled: await start(echo, 'small'),
    settledLarge: await start(echo, LARGE),
    waiting: await start(wait, 'small'),
    waitingLarge: await start(wait, LARGE),
  }
  await untilIdle(holdfast)
  await holdfast.close()
  return { disk, ...ids }
}

test('small values are stored with the head, and large ones under keys of their own', async () => {
  const { disk, settled, settledLarge, waiting, waitingLarge } = await filled()
  expect(brokenFormatLaws(disk.content)).toEqual([])
  const kindsOf = (taskId: string) =>
    [...disk.content.keys()].filter((key) => key.split('/')[1] === taskId).map((key) => key.split('/')[0])
  const HEADS_AND_VALUES = ['task', 'live', 'done', 'input', 'outcome']
  const shown = (taskId: string) =>
    kindsOf(taskId)
      .filter((kind) => HEADS_AND_VALUES.includes(kind as string))
      .sort()
  expect(shown(settled)).toEqual(['done', 'task'])
  expect(shown(settledLarge)).toEqual(['done', 'input', 'outcome', 'task'])
  expect(shown(waiting)).toEqual(['live', 'task'])
  expect(shown(waitingLarge)).toEqual(['input', 'live', 'task'])
})

test('a head has nothing of what never changes, and what never changes is written once', async () => {
  const { disk, waiting } = await filled()
  const live = unseal(`live/${waiting}`, disk.content.get(`live/${waiting}`) as string)
  expect(live.body).not.toContain('wait"')
  expect(live.body).not.toContain(waiting)
  // The first commit of the task, although the head is of a later one.
  expect(unseal(`task/${waiting}`, disk.content.get(`task/${waiting}`) as string).seq).toBe(1)
  expect(live.seq).toBeGreaterThan(1)
})

const reseal = (disk: MemoryDisk, from: string, to: string, change = (body: string) => body) => {
  const { seq, body } = unseal(from, disk.content.get(from) as string)
  disk.damage(to, seal(to, seq, change(body)))
}

test.each<[string, (store: Awaited<ReturnType<typeof filled>>) => void, RegExp]>([
  ['no fixed part', ({ disk, waiting }) => disk.damage(`task/${waiting}`, undefined), /has only its moving part/],
  ['no moving part', ({ disk, settled }) => disk.damage(`done/${settled}`, undefined), /has only its fixed part/],
  [
    'both heads',
    ({ disk, settled }) => reseal(disk, `done/${settled}`, `live/${settled}`),
    /has a live head and a settled one/,
  ],
  ['no input', ({ disk, waitingLarge }) => disk.damage(`input/${waitingLarge}`, undefined), /input is stored 0 times/],
  [
    'two inputs',
    ({ disk, waiting, waitingLarge }) => reseal(disk, `input/${waitingLarge}`, `input/${waiting}`),
    /input is stored 2 times/,
  ],
  [
    'an outcome of an unfinished task',
    ({ disk, waiting, settledLarge }) => reseal(disk, `outcome/${settledLarge}`, `outcome/${waiting}`),
    /has an outcome/,
  ],
  [
    'a small outcome under a key of its own',
    ({ disk, settledLarge }) => reseal(disk, `outcome/${settledLarge}`, `outcome/${settledLarge}`, () => '1'),
    /outcome is small/,
  ],
  [
    'a large outcome with the head',
    ({ disk, settled }) => reseal(disk, `done/${settled}`, `done/${settled}`, (body) => `${body}${LARGE}`),
    /outcome is too large/,
  ],
  [
    'no record',
    ({ disk, waiting }) => {
      const key = [...disk.content.keys()].find((each) => each.startsWith(`log/${waiting}/`)) as string
      disk.damage(key, undefined)
    },
    /of the log has 0 records where 1 were written/,
  ],
  [
    'no trail',
    ({ disk }) => disk.damage([...disk.content.keys()].find((key) => key.startsWith('trail/')) as string, undefined),
    /trail\/.*it is missing/,
  ],
  [
    'a trail that leads nowhere',
    ({ disk, settled }) => reseal(disk, `task/${settled}`, `trail/${settled}/00000000ffff`),
    /has no entry of the task/,
  ],
  ['a flipped bit', ({ disk, waiting }) => disk.damage(`live/${waiting}`, 'rot'), /checksum/],
])('the checker notices %s', async (_, harm, said) => {
  const store = await filled()
  harm(store)
  let broken: string[]
  try {
    broken = brokenFormatLaws(store.disk.content)
  } catch (error) {
    broken = [(error as Error).message]
  }
  expect(broken.join('\n')).toMatch(said)
})
