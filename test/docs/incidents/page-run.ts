/**
 * Runs a page of docs/operations/incidents against a store that has the incident, and compares what it prints with the page.
 *
 * - A block ```console has commands after `$ `, and what they print to both streams on a terminal without colours.
 * - A block ```log has every line that the servers have written since the block before.
 * - A comment `<!-- do: name -->` stands for what a person does apart from commands. The test has a function for it.
 * - The first ID that a run prints is shown as an ID that ends with 01, the second with 02, and so on, and is so on the page.
 * - Instants, times and sizes are compared by their form.
 *
 * With HOLDFAST_WRITE_PAGES=1, the output of this run is written into the page.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type OperatorClient, operatorClient } from '../../../src/operator/index.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const PROGRAM = join(ROOT, 'dist/cli/main.js')
const SERVER = fileURLToPath(new URL('server.mjs', import.meta.url))

/** Folders of the page, and where they are in a run. */
const FOLDERS = { '/var/lib': 'lib', '/var/backups': 'backups', '/mnt/new': 'new' } as const

/** What a page needs to run. */
export interface Incident {
  /** What a person does apart from commands, and what happens. */
  readonly deeds: Readonly<Record<string, () => unknown>>
  /** Further parts of the output that are others in each run. */
  readonly varying?: readonly RegExp[]
}

/** A part of a page that differs from the run. */
export interface Difference {
  readonly line: number
  readonly expected: string
  readonly found: string
}

interface Part {
  readonly kind: 'console' | 'log' | 'do'
  /** Line of the page at which it begins, from 0. */
  readonly line: number
  readonly text: string
}

/** The parts of a page that run, in their order. */
export function partsOf(page: string): Part[] {
  const found = page.matchAll(/^```(console|log)\n([\s\S]*?)^```$|^<!-- do: ([\w -]+) -->$/gm)
  return [...found].map(({ 0: whole, 1: kind, 2: block, 3: deed, index }) => {
    const line = page.slice(0, index).split('\n').length - 1
    if (deed !== undefined) return { kind: 'do', line, text: deed }
    return { kind: kind as 'console' | 'log', line: line + (whole.startsWith('```') ? 1 : 0), text: block ?? '' }
  })
}

export class PageRun {
  readonly #base = mkdtempSync(join(tmpdir(), 'holdfast-incident-'))
  readonly #servers = new Set<ChildProcess>()
  /** Each ID of the run, and the one in its place on the page. */
  readonly #ids = new Map<string, string>()
  #log: string[] = []
  #exitCode = 0
  #mounted: string | undefined

  constructor() {
    for (const folder of Object.values(FOLDERS)) mkdirSync(join(this.#base, folder))
    const bin = join(this.#base, 'bin')
    mkdirSync(bin)
    // The package is not installed here, and its output is that of a terminal.
    const terminal = `data:text/javascript,process.stdout.isTTY=true`
    writeFileSync(
      join(bin, 'npx'),
      `#!/bin/sh\nshift\nexec ${process.execPath} --import '${terminal}' ${PROGRAM} "$@"\n`,
    )
    chmodSync(join(bin, 'npx'), 0o755)
  }

  /** The path in this run of a path of the page. */
  path(path: string): string {
    return Object.entries(FOLDERS).reduce((at, [page, run]) => at.replaceAll(page, join(this.#base, run)), path)
  }

  /** Directory of the store. */
  get dir(): string {
    return this.path('/var/lib/flights')
  }

  /** Starts a server of server.mjs. Resolves when it has the store open, or has ended. */
  async startServer(program: string, dir = this.dir): Promise<ChildProcess> {
    const env = { ...process.env, HOLDFAST_LOG: 'info' }
    const child = spawn(process.execPath, [SERVER, program, dir], { stdio: ['pipe', 'pipe', 'pipe'], env })
    this.#servers.add(child)
    createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => this.#log.push(line))
    const ended = once(child, 'close').then(() => this.#servers.delete(child))
    await Promise.race([once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line'), ended])
    return child
  }

  /** Ends the servers as an orchestrator does. */
  async stopServers(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    for (const child of [...this.#servers]) {
      const ended = once(child, 'close')
      child.kill(signal)
      await ended
    }
  }

  /** Calls the server of a directory. */
  async call<T>(act: (client: OperatorClient) => Promise<T>, dir = this.dir): Promise<T> {
    const client = operatorClient({ dir, actor: 'client: test' })
    try {
      return await act(client)
    } finally {
      client.close()
    }
  }

  /** Waits until each task of a type is in a state of `explain`. */
  async untilState(type: string, state: string, dir = this.dir): Promise<void> {
    await this.call(
      (client) =>
        this.until(async () => {
          const { tasks } = await client.listTasks({ type })
          const found = await Promise.all(tasks.map(({ taskId }) => client.explainTask({ taskId })))
          return found.length > 0 && found.every((one) => one.state === state)
        }),
      dir,
    )
  }

  /** Number of completed steps of each task of a type. */
  async stepsOf(type: string): Promise<number[]> {
    const { tasks } = await this.call((client) => client.listTasks({ type }))
    return tasks.map(({ completedSteps }) => completedSteps)
  }

  /** Waits until a condition holds. */
  async until(isSo: () => Promise<boolean> | boolean): Promise<void> {
    while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  /** Makes the service work that the servers call. */
  repairService(): void {
    writeFileSync(join(this.dir, '../service-is-up'), '')
  }

  /** Waits until the log of the servers has a text. */
  async untilLogged(text: string): Promise<void> {
    await this.until(() => this.#log.some((line) => line.includes(text)))
  }

  /** Puts a file system of 64 MiB under the store. False without the right to mount. */
  mountSmallDisk(): boolean {
    const at = this.path('/var/lib')
    const options = ['-t', 'tmpfs', '-o', 'size=64m,mode=700', 'tmpfs', at]
    if (spawnSync('mount', options, { stdio: 'ignore' }).status !== 0) return false
    this.#mounted = at
    return true
  }

  /** Makes a file that takes all the space there is. */
  fillDisk(path: string): void {
    const file = openSync(this.path(path), 'a')
    try {
      for (const bytes of [65_536, 4_096, 1]) {
        const block = Buffer.alloc(bytes)
        for (;;) if (writeSync(file, block) < bytes) break
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      closeSync(file)
    }
  }

  /** Drops what the servers have written so far. */
  forgetLog(): void {
    this.#log = []
  }

  /** Runs a page. Returns what differs, and the page with the output of this run. */
  async play(page: string, { deeds, varying }: Incident): Promise<{ differences: Difference[]; page: string }> {
    const differences: Difference[] = []
    const lines = page.split('\n')
    let moved = 0
    for (const { kind, line, text } of partsOf(page)) {
      if (kind === 'do') {
        const deed = deeds[text]
        if (!deed) throw new Error(`The test has no function for '${text}'`)
        await deed()
        continue
      }
      const found = kind === 'log' ? this.#takeLog() : this.#runBlock(text)
      if (plain(text, varying) !== plain(found, varying)) differences.push({ line: line + 1, expected: text, found })
      const [before, after] = [text.split('\n').length - 1, found.split('\n').slice(0, -1)]
      lines.splice(line + moved, before, ...after)
      moved += after.length - before
    }
    return { differences, page: lines.join('\n') }
  }

  #takeLog(): string {
    const lines = this.#log
    this.#log = []
    return lines.map((line) => `${this.#asOnPage(line)}\n`).join('')
  }

  /** Runs the commands of a block. Returns the block with what they print. */
  #runBlock(text: string): string {
    const commands = text.split('\n').filter((line) => line.startsWith('$ '))
    return commands.map((line) => `${line}\n${this.#runCommand(line.slice(2))}`).join('')
  }

  #runCommand(command: string): string {
    const real = this.path(command).replace(ID, (id) => this.#realIdOf(id))
    const env = {
      ...process.env,
      ...{ PATH: `${join(this.#base, 'bin')}:${process.env['PATH']}`, NO_COLOR: '1', HOLDFAST_DIR: this.dir },
    }
    // Each command is a process of its own, and `$?` is that of the one before.
    const script = `(exit ${this.#exitCode}); ${real}`
    const { status, output } = spawnSync('sh', ['-c', `exec 2>&1; ${script}`], { env, encoding: 'utf8' })
    this.#exitCode = status ?? 1
    return this.#asOnPage(output.join(''))
  }

  /** What stands for this machine, its user and the folders of the run on the page. */
  #asOnPage(text: string): string {
    const shown = Object.entries(FOLDERS).reduce((at, [page, run]) => at.replaceAll(join(this.#base, run), page), text)
    return shown
      .replaceAll(hostname(), 'web-1')
      .replaceAll(`cli: ${userInfo().username}`, 'cli: ann')
      .replace(ID, (id) => this.#idOnPage(id))
      .replace(/[ \t]+$/gm, '')
  }

  #idOnPage(id: string): string {
    const known = this.#ids.get(id)
    if (known !== undefined) return known
    const shown = `${id.slice(0, id.indexOf('-'))}-${ID_ON_PAGE}${String(this.#ids.size + 1).padStart(2, '0')}`
    this.#ids.set(id, shown)
    return shown
  }

  #realIdOf(shown: string): string {
    const real = [...this.#ids].find(([, known]) => known === shown)?.[0]
    if (real === undefined) throw new Error(`No output before has ${shown}`)
    return real
  }

  async end(): Promise<void> {
    await this.stopServers('SIGKILL')
    if (this.#mounted !== undefined) execFileSync('umount', [this.#mounted])
    rmSync(this.#base, { recursive: true, force: true })
  }
}

const ID = /\b(?:task|store|checkpoint|input)-[0-9A-Z]{20,}\b/g
const ID_ON_PAGE = '01M8JKX8HB00NMY7RPXNST00S4EBPJZ5X6'
const INSTANT = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|\b1[6-9]\d{11}\b/g
// Process IDs, times such as 12ms, sizes, hashes, and the number of the newest commit.
const VARYING =
  /(?<=process )\d+|(?<="pid":)\d+|\b\d+(?:ms|s|m)\b|\b\d+(?= (?:MiB|bytes|records|ms))|(?<=commit )\d+|\b\d{5,}\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{32,}\b/g

/** A text without what is another in each run. */
function plain(text: string, varying: readonly RegExp[] = []): string {
  return varying
    .reduce((rest, pattern) => rest.replace(pattern, '<varying>'), text)
    .replace(INSTANT, '<instant>')
    .replace(VARYING, '<number>')
    .replace(/[ \t]+/g, ' ')
    .trimEnd()
}
