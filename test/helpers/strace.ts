/** Tests that need `strace`: is it there, and may it attach to a process that it did not start? */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

const YAMA = '/proc/sys/kernel/yama/ptrace_scope'

/** True if a program can be run under `strace`. */
export const canTrace = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0

/** True if `strace -p` may attach to a thread of another process. */
export const canAttach =
  canTrace && (process.getuid?.() === 0 || !existsSync(YAMA) || readFileSync(YAMA, 'utf8').trim() === '0')

/** The folder for stores that are opened hundreds of times: in memory, where there is such a folder. */
export const IN_MEMORY = existsSync('/dev/shm') ? '/dev/shm' : undefined
