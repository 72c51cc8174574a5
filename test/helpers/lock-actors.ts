/** Starts the processes and threads of the lock's tests (lock-holder.mjs) and talks to them. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'

export interface Answer {
  readonly ok: boolean
  readonly pid?: number
  /** How long our lock took. */
  readonly lockMs?: number
  readonly code?: string
  readonly message?: string
  readonly details?: Record<string, unknown>
  /** The code of the error's cause: LevelDB's own. */
  readonly cause?: string
}

export interface Actor {
  ask(command: 'open' | 'lock' | 'database' | 'write' | 'close' | 'openRaw', dir: string, at?: number): Promise<Answer>
  /** kill -9, or the thread's termination. */
  kill(): Promise<void>
}

const SCRIPT = fileURLToPath(new URL('./lock-holder.mjs', import.meta.url))
const NODE = [process.execPath, SCRIPT]
const running = new Set<Actor>()

/** A pid namespace and a host name of its own, as a container has. */
export const CONTAINER = ['unshare', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', '--uts']

/** A process, perhaps in something like a container. */
export function startProcess(containerHost?: string): Actor {
  const script = `hostname ${containerHost}; exec "$@"`
  const line = containerHost === undefined ? NODE : [...CONTAINER, 'sh', '-c', script, 'sh', ...NODE]
  const child = spawn(line[0] ?? '', line.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  return actor(
    (message) => child.stdin.write(`${JSON.stringify(message)}\n`),
    (take) => lines.on('line', (text) => take(JSON.parse(text))),
    // Its output ends with the last process of the container, not with `unshare`.
    () => {
      const closed = new Promise<void>((resolve) => child.on('close', () => resolve()))
      child.kill('SIGKILL')
      return closed
    },
  )
}

/** A thread of this process. */
export function startThread(): Actor {
  const worker = new Worker(SCRIPT, { execArgv: [] })
  return actor(
    (message) => worker.postMessage(message),
    (take) => worker.on('message', take),
    async () => void (await worker.terminate()),
  )
}

export async function killAll(): Promise<void> {
  await Promise.all([...running].map((one) => one.kill()))
}

function actor(
  send: (message: object) => void,
  listen: (take: (message: Answer & { id: number }) => void) => void,
  end: () => Promise<void>,
): Actor {
  const waiting = new Map<number, (answer: Answer) => void>()
  let asked = 0
  listen(({ id, ...answer }) => waiting.get(id)?.(answer))
  const self: Actor = {
    ask(command, dir, at = 0) {
      const id = ++asked
      send({ id, command, dir, at })
      return new Promise((resolve) => waiting.set(id, resolve))
    },
    kill() {
      running.delete(self)
      return end()
    },
  }
  running.add(self)
  return self
}
