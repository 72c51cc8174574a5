/**
 * The way of a command to a store: through the process that holds it, or by an opening of its own if no process does.
 *
 * connect-1. A command never opens a store that a process holds, and never starts a task: an opening to operate runs nothing.
 * connect-2. An opening of a command lasts as long as its calls, and is closed before the process ends.
 */
import { userInfo } from 'node:os'
import type { Holdfast } from '../../api/holdfast.js'
import { openToOperate } from '../../api/open-to-operate.js'
import { operatorTarget } from '../../api/operator-target.js'
import { HoldfastError } from '../../base/errors.js'
import { silentLogger } from '../../base/logger.js'
import { type OperatorClient, type OperatorRouteCalls, operatorClient } from '../../operator/index.js'
import { inspectDirectory } from '../../store/init.js'
import { CommandError } from './exit-codes.js'

/** A store as a command uses it. */
export type Connected =
  | {
      readonly mode: 'running'
      readonly calls: OperatorRouteCalls
      readonly client: OperatorClient
      close(): Promise<void>
    }
  | {
      readonly mode: 'stopped'
      readonly calls: OperatorRouteCalls
      readonly holdfast: Holdfast
      close(): Promise<void>
    }

/** Name that the audit shows for what the user of this process does. */
export function actorName(): string {
  try {
    return `cli: ${userInfo().username}`
  } catch {
    return `cli: uid ${process.getuid?.() ?? 'unknown'}`
  }
}

// A server that starts or ends just now changes who holds the store between two looks.
const LOOKS_MAX = 3

/**
 * Connects to the process that holds the store in `dir`. If no process does, opens the store for this command.
 * @param needsServer sentence of a command that only a running server can carry out; `undefined` if the command works on a store at rest
 * @throws CommandError, HoldfastError
 */
export function connect(dir: string, { needsServer = false }: { needsServer?: boolean } = {}): Promise<Connected> {
  return byHolder<Connected>(
    dir,
    (client) => ({ mode: 'running', calls: client, client, close: async () => client.close() }),
    async () => {
      // No server can be started on a store that was moved.
      if (needsServer) await inspectDirectory(dir)
      if (needsServer) throw new CommandError(5, `No process runs the store ${dir}; start the server.`)
      return openStopped(dir, actorName())
    },
  )
}

/**
 * Calls `running` with a client of the process that holds the store, or `stopped` if no process does. `running` closes the
 * client.
 * @throws HoldfastError as `operatorClient`; what the called function throws
 */
export async function byHolder<T>(
  dir: string,
  running: (client: OperatorClient) => T | Promise<T>,
  stopped: () => T | Promise<T>,
): Promise<T> {
  for (let look = 1; ; look++) {
    const client = operatorClient({ dir, actor: actorName() })
    const isRunning = await client.info().then(
      () => true,
      (error: unknown) => {
        client.close()
        if (!isCode(error, 'STORE_NOT_HELD')) throw error
        return false
      },
    )
    if (isRunning) return running(client)
    try {
      return await stopped()
    } catch (error) {
      if (!isCode(error, 'STORE_LOCKED') || look >= LOOKS_MAX) throw error
    }
  }
}

async function openStopped(dir: string, actor: string): Promise<Connected> {
  const holdfast = await openToOperate({ dir, logger: silentLogger })
  const { handlers } = operatorTarget(holdfast)
  const calls = Object.entries(handlers).map(([name, handler]) => [
    name,
    (request: object = {}) => handler(request as never, { by: actor }),
  ])
  return {
    mode: 'stopped',
    calls: Object.fromEntries(calls) as OperatorRouteCalls,
    holdfast,
    close: () => holdfast.close({ grace: 0 }),
  }
}

function isCode(error: unknown, code: HoldfastError['code']): boolean {
  return error instanceof HoldfastError && error.code === code
}
