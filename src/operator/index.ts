/** The operator API: a client for the process that has a store open. `holdfast/operator`. */

export {
  type EventsOptions,
  type OperatorClient,
  type OperatorClientOptions,
  type OperatorRouteCalls,
  operatorClient,
} from './client/client.js'
export type { OperatorEvent, OperatorSnapshot } from './client/operator-event.js'
