/**
 * LangGraph's functional API on SQLite. `openFull` sets `synchronous=FULL`. `open` leaves it as it is shipped, `NORMAL`:
 * an acknowledged step survives a kill, and may be lost in a power cut.
 */
import { entrypoint, task } from '@langchain/langgraph'
import { SqliteSaver } from '@langchain/langgraph-checkpoint-sqlite'
import { takeSteps } from '../engines/peer.mjs'

/** @param {import('../engines/peer.mjs').PeerOptions} options @param {'FULL' | undefined} synchronous */
async function openWith({ dir, steps, work }, synchronous) {
  const checkpointer = SqliteSaver.fromConnString(`${dir}.db`)
  checkpointer.setup()
  if (synchronous) checkpointer.db.pragma(`synchronous=${synchronous}`)
  const step = task('step', async (index) => work(index))
  const workflow = entrypoint({ name: 'bench', checkpointer }, () => takeSteps(steps, (index) => step(index)))
  const invoke = (input, thread_id) =>
    workflow.invoke(input, { configurable: { thread_id }, durability: 'sync', recursionLimit: 10_000 })
  return {
    run: (name) => invoke({}, name),
    async start(name) {
      void invoke({}, name)
      return name
    },
    // It resumes nothing by itself: its caller keeps a list of threads, and invokes each again.
    async resume(taskIds) {
      const outputs = await Promise.all(taskIds.map((name) => invoke(null, name)))
      return async () => outputs.reduce((sum, wrong) => sum + wrong, 0)
    },
    close: async () => checkpointer.db.close(),
  }
}

/** @type {import('../engines/peer.mjs').OpenPeer} */
export const open = (options) => openWith(options, undefined)
/** @type {import('../engines/peer.mjs').OpenPeer} */
export const openFull = (options) => openWith(options, 'FULL')
