/** What the demos share: a process that is killed when a message of its own says that the moment has come, and claims. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

// A process that hangs is a finding, not a reason to wait for ever.
const RUN_MS_MAX = 50_000

/**
 * Runs a script until it ends, or until one of its messages says that it is time to kill it.
 * @param job what it is to do, as JSON; the script reads it with `readJob`
 * @param onMessage returns whether to kill it, with SIGKILL, at once
 * @returns how it ended
 */
export async function runProcess<Message>(
  script: URL,
  job: unknown,
  onMessage: (message: Message) => boolean,
): Promise<'killed' | 'ended'> {
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), fileURLToPath(script), JSON.stringify(job)],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], timeout: RUN_MS_MAX, killSignal: 'SIGKILL' },
  )
  let killing = false
  child.on('message', (message) => {
    if (killing || !onMessage(message as Message)) return
    killing = true
    child.kill('SIGKILL')
  })
  const [code, by] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  if (killing && by === 'SIGKILL') return 'killed'
  if (code === 0 && !killing) return 'ended'
  throw new Error(`A process of the demo ended with ${by ?? `exit code ${code}`}`)
}

/** In the script: what it is to do. */
export function readJob<Job>(): Job {
  // Without the demo nobody waits for this process.
  process.once('disconnect', () => process.exit(1))
  return JSON.parse(process.argv[2] ?? 'null') as Job
}

/** In the script: tells the demo. Resolves when the message is on its way. */
export function tell(message: object): Promise<void> {
  return new Promise((resolve) => {
    if (process.send) process.send(message, undefined, undefined, () => resolve())
    else resolve()
  })
}

/** In the script: it is done, and lets the process end. */
export function leave(): void {
  process.removeAllListeners('disconnect')
  process.disconnect?.()
}

/** A claim in words, what was seen, and what should have been. */
export type Claim = readonly [claim: string, seen: unknown, expected: unknown]

/** Prints each claim and whether it holds; a claim that fails makes the exit code 1. */
export function checkClaims(claims: readonly Claim[]): void {
  console.log('\nThe claims:')
  for (const [claim, seen, expected] of claims) {
    const [is, should] = [JSON.stringify(seen), JSON.stringify(expected)]
    console.log(is === should ? `  ok  ${claim}` : `  FAILED  ${claim}: ${is} instead of ${should}`)
    if (is !== should) process.exitCode = 1
  }
}
