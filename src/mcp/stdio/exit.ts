/**
 * Ends the process. `process.exit` waits for what runs on Node's thread pool (a file on a disk that hangs, a host name
 * that is looked up), so a helper process ends this one where that takes too long.
 */
import { spawn } from 'node:child_process'

const KILL_AFTER_MS = 100

// The pipe closes when its parent ends, however that ends. So no other process is hit that was given the parent's ID since.
const HELPER = `process.stdin.on('end', () => process.exit()).on('error', () => process.exit()).resume()
setTimeout(() => { if (process.ppid === Number(process.argv[1])) process.kill(process.ppid, 'SIGKILL') }, ${KILL_AFTER_MS})`

/** Ends this process with `code`; by a kill if a thread hangs. */
export function exitNow(code: number): never {
  if (hasWaitingThread()) killIfHung()
  process.exit(code)
}

/** True if a file operation, a look-up or a write of the database has not come back from a thread. */
export function hasWaitingThread(): boolean {
  return process.getActiveResourcesInfo().some((name) => /^(FSReq|GetAddrInfo|GetNameInfo)|leveldb|classic/i.test(name))
}

function killIfHung(): void {
  const env = { ...process.env, ELECTRON_RUN_AS_NODE: '1' }
  const args = ['-e', HELPER, String(process.pid)]
  spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'ignore'], windowsHide: true, env }).unref()
}
