/** OpenWorkflow on SQLite (`node:sqlite`, so Node 22), as it is shipped: WAL with `synchronous=FULL`. */
import { OpenWorkflow } from 'openworkflow'
import { BackendSqlite } from 'openworkflow/sqlite'
import { takeSteps } from '../engines/peer.mjs'

/** @type {import('../engines/peer.mjs').OpenPeer} */
export async function open({ dir, steps, work, concurrency }) {
  const backend = BackendSqlite.connect(`${dir}.db`)
  const client = new OpenWorkflow({ backend })
  const workflow = client.defineWorkflow({ name: 'bench' }, ({ step }) =>
    takeSteps(steps, (index) => step.run({ name: `step-${index}` }, async () => work(index))),
  )
  const worker = client.newWorker({ concurrency })
  await worker.start()
  return {
    run: async () => (await workflow.run({})).result(),
    start: async () => (await workflow.run({})).workflowRun.id,
    // The worker resumes a run once the lease of the killed process has expired. The handles of that process are gone.
    async resume(taskIds) {
      const outputs = await Promise.all(
        taskIds.map(async (workflowRunId) => {
          for (;;) {
            const run = await backend.getWorkflowRun({ workflowRunId })
            if (run?.status === 'completed') return run.output
            if (run?.status === 'failed') throw new Error(`A run failed: ${JSON.stringify(run.error)}`)
            await new Promise((resolve) => setTimeout(resolve, 250))
          }
        }),
      )
      return async () => outputs.reduce((sum, wrong) => sum + wrong, 0)
    },
    async close() {
      await worker.stop()
      await backend.stop()
    },
  }
}
