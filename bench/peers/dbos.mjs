/** DBOS on PostgreSQL (bench/services.ts starts one), as it is shipped. PostgreSQL syncs each commit to the disk. */
import { DBOS } from '@dbos-inc/dbos-sdk'
import { takeSteps } from '../engines/peer.mjs'

let current
const workflow = DBOS.registerWorkflow(
  () => {
    const { steps, work } = current
    return takeSteps(steps, (index) => DBOS.runStep(async () => work(index), { name: `step-${index}` }))
  },
  { name: 'bench' },
)

/** @type {import('../engines/peer.mjs').OpenPeer} */
export async function open({ steps, work, service }) {
  current = { steps, work }
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: service.database,
    logLevel: 'error',
    runAdminServer: false,
  })
  await DBOS.launch()
  return {
    run: async (workflowID) => (await DBOS.startWorkflow(workflow, { workflowID })()).getResult(),
    start: async (workflowID) => (await DBOS.startWorkflow(workflow, { workflowID })()).workflowID,
    // `launch` resumes the workflows of this executor by itself.
    async resume(taskIds) {
      const outputs = await Promise.all(taskIds.map((id) => DBOS.retrieveWorkflow(id).getResult()))
      return async () => outputs.reduce((sum, wrong) => sum + wrong, 0)
    },
    close: () => DBOS.shutdown(),
  }
}
