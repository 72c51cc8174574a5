/**
 * `npm run demo:support`: a support conversation that a customer leaves, whose server is killed, and that goes on from its
 * latest checkpoint in a new process each time. Exit code 0 if all claims hold, 1 if one doesn't.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Holdfast, type HoldfastError } from 'holdfast'
import { checkClaims, runProcess } from '../shared/demo.js'
import { NEW, reply } from './assistant.js'
import type { FromServer, Visit } from './server.js'

const SAYS = ['My parcel arrived broken.', 'It is A-1042.', 'A refund, please.', 'No, thank you!']
const OWNER = 'customer-7'

const dir = await mkdtemp(join(tmpdir(), 'holdfast-support-'))
const store = join(dir, 'store')
try {
  let taskId: string | undefined
  const restored: number[] = []
  let left: Extract<FromServer, { kind: 'left' }> | undefined

  const visit = async (about: string, until: number, options: { last?: boolean; killAt?: string } = {}) => {
    console.log(`\n${about}`)
    const { last = false, killAt: hangsAt } = options
    const job: Visit = { store, taskId, owner: OWNER, says: SAYS.slice(0, until), last, hangsAt }
    const ended = await runProcess<FromServer>(new URL('./server.ts', import.meta.url), job, (message) => {
      if (message.kind === 'open') {
        taskId = message.taskId
        restored.push(message.restoredLines)
        console.log(`  (conversation ${taskId}: ${message.restoredLines} lines restored)`)
      }
      if (message.kind === 'left') left = message
      return message.kind === 'heard' && message.said === hangsAt
    })
    console.log(ended === 'killed' ? '  (kill -9, before the customer saw an answer)' : `  (${left?.status})`)
    return ended
  }

  await visit('Monday: the customer asks for help, and closes the window.', 1)
  const midway = await visit('Tuesday: they come back; the server is killed.', 3, { killAt: SAYS[2] as string })
  await visit('Tuesday, on a new server: they say it again.', 3)
  await visit('Friday: they say goodbye.', 4, { last: true })

  const straight = SAYS.reduce(reply, NEW)
  const holdfast = await Holdfast.open({ dir: store })
  const id = taskId ?? ''
  const checkpoints = await holdfast.listCheckpoints(id)
  const [first] = checkpoints
  const monday = await holdfast.restoreCheckpoint(id, { checkpointId: first?.checkpointId })
  const codeOf = (call: Promise<unknown>) => call.catch((error: HoldfastError) => error.code)
  const another = await codeOf(holdfast.forOwner('customer-8').get(id))
  const late = await codeOf(holdfast.saveCheckpoint(id, NEW))
  const output = await holdfast.result(id)
  await holdfast.close()

  checkClaims([
    ['The kill hit the server in the middle of the conversation', midway, 'killed'],
    ['The conversation reads as if nothing had happened', left?.lines, straight.lines],
    ['Every visit began with all that had been answered before, the one after the kill too', restored, [0, 2, 4, 6]],
    ['It is one task, and it settled once', [left?.status, left?.settled], ['completed', 1]],
    ['Its result is what was agreed', output, { wish: 'refund' }],
    ['Monday can still be read', monday.state, reply(NEW, SAYS[0] as string)],
    ['Another customer gets the answer that there is no such conversation', another, 'TASK_NOT_FOUND'],
    ['Nothing can be added once it is over', late, 'TASK_SETTLED'],
  ])
} finally {
  await rm(dir, { recursive: true, force: true })
}
