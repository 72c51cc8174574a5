/** Measures the usage of a process, and creates the error of a process that ended without a result. */
import { createInterface } from 'node:readline'
import { HoldfastError } from '../../../base/errors.js'
import type { ResourceLimits } from '../../../task/definition/isolated-options.js'
import type { Child } from './process.js'
import type { ProcessUsage } from './process-usage.js'

const SAMPLE_EVERY_MS = 50
export const BYTES_PER_MIB = 1024 * 1024
// Messages of V8 if an array cannot be allocated or the heap is full. Only they distinguish this from other aborts.
const OUT_OF_MEMORY = /heap out of memory|Allocation failed|invalid size error/
const TAIL_CHARS = 200

/** Task, step and limits of the process, for errors. */
export interface Watched {
  readonly taskId: string
  readonly step: string
  readonly limits: ResourceLimits
}

export class Watch {
  /** CPU time before the module was loaded: the start of Node, which does not count. */
  #cpuMsBefore: number | undefined
  #reported: ProcessUsage | undefined
  #peakBytes = 0
  #ranOut = false
  #tail = ''
  /** Number of processes at the highest measured memory. */
  #peakProcesses = 1
  #measure: () => ProcessUsage | undefined = () => undefined
  readonly #sampling: NodeJS.Timeout

  /**
   * @param measureOf creates the function that measures a process by /proc
   * @param onExceeded called once, when a limit is passed
   */
  constructor(
    child: Child,
    private readonly watched: Watched,
    measureOf: (pid: number) => () => ProcessUsage | undefined,
    private readonly onExceeded: (error: HoldfastError) => void,
  ) {
    const { pid } = child.process
    if (pid !== undefined) this.#measure = measureOf(pid)
    createInterface({ input: child.reports }).on('line', (line) => {
      const [memoryBytes = Number.NaN, cpuMs = Number.NaN] = line.split(' ').map(Number)
      if (Number.isFinite(memoryBytes + cpuMs)) this.#reported = { memoryBytes, cpuMs, processes: 1 }
    })
    this.#sampling = setInterval(() => this.#sample(), SAMPLE_EVERY_MS)
  }

  /** Sets the CPU time that was used before the module is loaded. */
  begin(cpuMs: number): void {
    this.#cpuMsBefore ??= cpuMs
  }

  /** Searches the standard error of the process for messages of V8 about memory. */
  read(text: string): void {
    const seen = this.#tail + text
    this.#ranOut ||= OUT_OF_MEMORY.test(seen)
    this.#tail = seen.slice(-TAIL_CHARS)
  }

  stop(): void {
    clearInterval(this.#sampling)
  }

  #sample(): void {
    const usage = this.#measure() ?? this.#reported
    const error = usage && this.#excessOf(usage)
    if (!error) return
    this.stop()
    this.onExceeded(error)
  }

  #excessOf(usage: ProcessUsage): HoldfastError | undefined {
    if (usage.memoryBytes > this.#peakBytes) {
      this.#peakBytes = usage.memoryBytes
      this.#peakProcesses = usage.processes
    }
    const { memoryMb, cpuMs } = this.watched.limits
    if (usage.memoryBytes > memoryMb * BYTES_PER_MIB) return this.#tooMuchMemory()
    const used = usage.cpuMs - (this.#cpuMsBefore ?? usage.cpuMs)
    return cpuMs !== undefined && used > cpuMs ? this.#tooMuchCpu(Math.round(used), cpuMs) : undefined
  }

  /** The error of a process that ended before its function returned. */
  errorOfEnd(code: number | null, signal: NodeJS.Signals | null): Error {
    // The watchdog of the process may have ended it before a measure here.
    const excess = this.#reported && this.#excessOf(this.#reported)
    if (excess) return excess
    if (this.#ranOut && code !== 0) return this.#tooMuchMemory()
    const how = signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`
    const hint = signal === 'SIGKILL' ? ', by another process or for lack of memory,' : ''
    const message = `The process of step '${this.watched.step}' ${how}${hint} before its function had ended`
    return Object.assign(new Error(message), { name: 'ProcessEndedError' })
  }

  #tooMuchMemory(): HoldfastError {
    const measured = Math.ceil(this.#peakBytes / BYTES_PER_MIB)
    const { memoryMb: limit } = this.watched.limits
    const ran = measured > limit ? `took ${measured} MiB of memory` : 'needed more memory than it could get'
    const whose = this.#peakProcesses > 1 ? `${this.#peakProcesses} processes of its group` : 'its process'
    return this.#error(`${whose} ${ran}; the limit is ${limit} MiB (option \`memoryMb\`)`, {
      resource: 'memory',
      option: 'memoryMb',
      limit,
      measured,
    })
  }

  #tooMuchCpu(measured: number, limit: number): HoldfastError {
    return this.#error(`its process took ${measured} ms of CPU time; the limit is ${limit} ms (option \`cpuMs\`)`, {
      resource: 'cpu',
      option: 'cpuMs',
      limit,
      measured,
    })
  }

  #error(said: string, figures: Record<string, unknown>): HoldfastError {
    const { taskId, step } = this.watched
    return new HoldfastError('RESOURCE_EXCEEDED', `Step '${step}' of task ${taskId} was ended: ${said}.`, {
      details: { taskId, step, ...figures },
    })
  }
}
