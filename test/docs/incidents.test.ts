/**
 * Goal: each page of docs/operations/incidents shows what an operator sees, and its commands end the incident.
 * Method: test/docs/incidents/page-run.ts runs the page against a store that has the incident.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeAborting } from '../helpers/aborting-tables.js'
import { type Incident, PageRun, partsOf } from './incidents/page-run.js'

const FOLDER = fileURLToPath(new URL('../../docs/operations/incidents', import.meta.url))

let run: PageRun
beforeEach(() => {
  run = new PageRun()
})
afterEach(() => run.end())

const INCIDENTS: Readonly<Record<string, Incident>> = {
  'stuck-task.md': {
    deeds: {
      async begin() {
        await run.startServer('stuck')
        for (const type of ['refund', 'refund', 'invoice', 'approval', 'upload']) {
          await run.call((client) => client.startTask({ type, owner: 'ann' }))
          if (type === 'refund') await run.until(async () => (await run.stepsOf(type)).every((steps) => steps === 1))
        }
      },
      async 'until the others run'() {
        await run.untilState('invoice', 'settled')
        await run.untilState('approval', 'waiting')
        await run.untilState('upload', 'waiting')
      },
      'the service works': () => run.repairService(),
      async 'until all have ended'() {
        await run.untilState('approval', 'settled')
        await run.untilState('upload', 'settled')
      },
    },
  },
  'parked-tasks.md': {
    deeds: {
      async 'deploy version 2'() {
        await run.startServer('version 1')
        for (const type of ['booking', 'booking', 'report']) {
          await run.call((client) => client.startTask({ type, owner: 'ann' }))
          const steps = type === 'booking' ? 2 : 1
          await run.until(async () => (await run.stepsOf(type)).every((done) => done === steps))
        }
        await run.stopServers()
        run.forgetLog()
        await run.startServer('version 2')
        await run.untilState('booking', 'parked')
        await run.untilState('report', 'parked')
      },
      async 'roll back'() {
        await run.stopServers()
        run.forgetLog()
        await run.startServer('version 1')
        await run.untilLogged('resumed')
        await run.untilState('booking', 'running')
      },
      async 'until the bookings have ended'() {
        await run.stopServers()
        run.repairService()
        await run.startServer('version 1')
        await run.untilState('booking', 'settled')
      },
    },
  },
  'full-disk.md': {
    deeds: {
      async 'fill the disk'() {
        await run.startServer('importing')
        await run.call((client) => client.startTask({ type: 'import', owner: 'ann' }))
        await run.until(async () => (await run.stepsOf('import')).some((steps) => steps > 5))
        run.forgetLog()
        run.fillDisk('/var/lib/app.log.1')
        await run.untilLogged('refused a write')
      },
      async 'until the store is open again'() {
        await run.untilLogged('is open again')
        run.repairService()
        await run.untilState('import', 'settled')
      },
    },
    // The steps that were completed before the disk was full, and the file that could not grow.
    varying: [/\b\d+(?= +-$)/gm, /(?<="cause":")[^"]*/g],
  },
  'damaged-store.md': {
    deeds: {
      async 'a server runs'() {
        await run.startServer('version 1')
        for (const type of ['booking', 'booking', 'report']) {
          await run.call((client) => client.startTask({ type, owner: 'ann' }))
        }
        await run.untilState('report', 'waiting')
        await run.until(async () => (await run.stepsOf('booking')).every((done) => done === 2))
        await run.stopServers()
      },
      async 'the disk changes a byte and the server starts three times'() {
        await makeAborting(run.dir)
        run.forgetLog()
        for (let start = 1; start <= 3; start++) await run.startServer('version 1')
      },
      async 'the server starts'() {
        run.forgetLog()
        await run.startServer('version 1')
      },
      async 'until the tasks continue'() {
        run.repairService()
        await run.untilState('report', 'waiting')
      },
    },
    // The name of the folder with the damaged database.
    varying: [/\bbroken-\w+/g],
  },
  'two-servers.md': {
    deeds: {
      async 'start two servers'() {
        await run.startServer('version 1')
        run.forgetLog()
        await run.startServer('version 1')
      },
      'the holder crashes': () => run.stopServers('SIGKILL'),
      async 'the server starts'() {
        run.forgetLog()
        await run.startServer('version 1')
        await run.untilLogged('is open')
      },
    },
  },
  'restore.md': {
    deeds: {
      async 'a server runs'() {
        await run.startServer('version 1')
        for (const type of ['booking', 'booking']) {
          await run.call((client) => client.startTask({ type, owner: 'ann' }))
          await run.until(async () => (await run.stepsOf(type)).every((done) => done === 2))
        }
      },
      async 'the disk of the store is lost'() {
        await run.stopServers('SIGKILL')
        rmSync(run.dir, { recursive: true })
        run.forgetLog()
      },
      async 'the server starts'() {
        await run.startServer('version 1')
        await run.untilLogged('wait for recover()')
        run.repairService()
      },
      'until the bookings have ended': () => run.untilState('booking', 'settled'),
    },
  },
  'move.md': {
    deeds: {
      async 'a server runs'() {
        await run.startServer('version 1')
        for (const type of ['booking', 'booking']) {
          await run.call((client) => client.startTask({ type, owner: 'ann' }))
          await run.until(async () => (await run.stepsOf(type)).every((done) => done === 2))
        }
      },
      'stop the server': () => run.stopServers(),
      async 'the server starts on the new machine'() {
        const dir = run.path('/mnt/new/flights')
        await run.startServer('version 1', dir)
        await run.untilState('booking', 'running', dir)
      },
      async 'until the bookings have ended'() {
        const dir = run.path('/mnt/new/flights')
        writeFileSync(run.path('/mnt/new/service-is-up'), '')
        await run.stopServers()
        await run.startServer('version 1', dir)
        await run.untilState('booking', 'settled', dir)
      },
    },
  },
}

const pages = readdirSync(FOLDER).filter((name) => name !== 'index.md')

test('each page has a test, and commands', () => {
  expect(pages.sort()).toEqual(Object.keys(INCIDENTS).sort())
  for (const name of pages) {
    const kinds = partsOf(readFileSync(join(FOLDER, name), 'utf8')).map(({ kind }) => kind)
    expect(kinds, name).toContain('console')
    expect(kinds, name).toContain('do')
  }
})

test('output that differs is found, and what differs in each run is not', async () => {
  const play = async (output: string) =>
    (await run.play(`\`\`\`console\n$ echo 12ms a\n${output}\n\`\`\`\n`, { deeds: {} })).differences
  expect(await play('3s a')).toEqual([])
  expect(await play('3s b')).toEqual([{ line: 2, expected: '$ echo 12ms a\n3s b\n', found: '$ echo 12ms a\n12ms a\n' }])
})

test.for(Object.keys(INCIDENTS))(
  'the commands of %s print what the page shows',
  { timeout: 120_000 },
  async (name, { skip }) => {
    if (name === 'full-disk.md' && !run.mountSmallDisk()) {
      console.error('Not run: the full disk needs root, to mount a small tmpfs.')
      skip()
    }
    const file = join(FOLDER, name)
    const { differences, page } = await run.play(readFileSync(file, 'utf8'), INCIDENTS[name] as Incident)
    if (process.env['HOLDFAST_WRITE_PAGES'] === '1') writeFileSync(file, page)
    else expect(differences).toEqual([])
  },
)
