/**
 * The operator API of the process that has a store open: listens on a socket, and writes `holder.json`. Owns the server of
 * this opening.
 *
 * holder-1. Nothing waits for the server: a store opens, runs and closes without it. A failure is one warning.
 * holder-2. Neither the socket, its connections nor a timer keeps the process alive.
 * holder-3. If a cleaner of old files deletes the socket or `holder.json`, both are made again.
 * holder-4. `holder.json` of another opening is never removed: after the loss of the lock it belongs to the next process.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { type FSWatcher, lstatSync, watch } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { dirname, join } from 'node:path'
import { faultOf } from '../../base/fault.js'
import type { Ids } from '../../base/ids.js'
import type { Logger } from '../../base/logger.js'
import { serveNode } from '../../http/node.js'
import { problemResponse } from '../contract/problem.js'
import { ACTOR_HEADER, actorOf, OPERATOR_DIR, PROTOCOL_VERSION } from '../contract/protocol.js'
import type { OperatorTarget } from '../contract/routes.js'
import { bodyBytesMaxOf, dispatch, headersOf, refuseVersion, type ServedOperator } from './dispatch.js'
import { Feeds } from './feed.js'
import {
  isHeldBy,
  makeOperatorFolder,
  marksOf,
  removeHolderFiles,
  removeSocketFolder,
  socketPaths,
  writeHolder,
} from './holder-files.js'
import { JobStreams } from './job-streams.js'
import { releaseOfPackage } from './release.js'

/** The opening that the API belongs to. */
export interface HolderOptions {
  /** Real path of the directory. */
  readonly dir: string
  readonly lockToken: string
  readonly target: OperatorTarget
  readonly logger: Logger
  readonly ids: Pick<Ids, 'seed'>
  /** Largest input of a task, in bytes. A body may be larger by what surrounds the input. */
  readonly inputBytesMax: number
}

/** A running operator API. */
export interface Holder {
  /** Resolves once the API can be called, or cannot be made. */
  readonly ready: Promise<void>
  /** Ends feeds and connections, and removes the files. */
  close(): Promise<void>
}

const CONNECTIONS_MAX = 64
const IDLE_MS_MAX = 60_000
const HEADERS_MS_MAX = 10_000
const REQUEST_MS_MAX = 60_000
const ANSWERS_MS_MAX = 300
const LOOK_EVERY_MS = 10_000
// A whole directory that is being deleted loses its lock file within this time. Then nothing is made again in it.
const REPAIR_AFTER_MS = 500

/** Starts the API. Returns at once. */
export function startHolder(options: HolderOptions): Holder {
  return new RunningHolder(options)
}

class RunningHolder implements Holder {
  readonly ready: Promise<void>
  readonly #feeds = new Feeds()
  readonly #jobs: JobStreams
  readonly #secret: string
  readonly #served: ServedOperator
  #server: Server | undefined
  #path = ''
  #marks: string | undefined
  #watcher: FSWatcher | undefined
  #look: NodeJS.Timeout | undefined
  /** The work on the files that is running. The next one follows it. */
  #working: Promise<void>
  #isClosed = false

  constructor(private readonly options: HolderOptions) {
    const { target, logger, inputBytesMax } = options
    this.#secret = this.#random()
    const bodyBytesMax = bodyBytesMaxOf(inputBytesMax)
    this.#jobs = new JobStreams(logger)
    this.#served = { target, feeds: this.#feeds, jobs: this.#jobs, logger, release: releaseOfPackage(), bodyBytesMax }
    this.#working = this.#start()
    this.ready = this.#working
  }

  async close(): Promise<void> {
    if (this.#isClosed) return this.#working
    this.#isClosed = true
    clearInterval(this.#look)
    this.#watcher?.close()
    this.#feeds.close('closed', 'The server closes its store.')
    this.#working = this.#working.then(() => this.#stop())
    return this.#working
  }

  async #stop(): Promise<void> {
    const { dir, lockToken, logger } = this.options
    await this.#jobs.close()
    if (this.#server) await endServer(this.#server)
    this.#server = undefined
    try {
      await removeSocketFolder(this.#path)
      await removeHolderFiles(dir, lockToken)
    } catch (error) {
      logger.debug('The files of the operator API could not be removed', { error: faultOf(error) })
    }
  }

  async #start(): Promise<void> {
    try {
      await this.#listen()
      if (this.#isClosed) return
      this.#watch()
      this.#look = setInterval(() => this.#repair(), LOOK_EVERY_MS)
      this.#look.unref()
    } catch (error) {
      this.#server?.close()
      this.options.logger.warn(
        'The operator API could not be started. Tasks run as usual, and operators cannot look into the store. Give this process the right to make a socket, or set `operator: false`.',
        { dir: this.options.dir, error: faultOf(error) },
      )
    }
  }

  /** Makes the folder and the socket, and then writes `holder.json`. */
  async #listen(): Promise<void> {
    const { dir, lockToken } = this.options
    await makeOperatorFolder(dir)
    let failure: unknown = new Error('No path for a socket is short enough')
    for (const path of socketPaths(dir, this.#random().slice(0, 32))) {
      try {
        const made = await path()
        if (made === undefined) continue
        this.#path = made
        this.#server = await this.#listenAt(made)
        break
      } catch (error) {
        failure = error
        await removeSocketFolder(this.#path)
      }
    }
    if (!this.#server) throw failure
    const { release } = this.#served
    const about = { protocol: PROTOCOL_VERSION, release, pid: process.pid, lockToken }
    await writeHolder(dir, { ...about, path: this.#path, secret: this.#secret })
    this.#marks = marksOf(dir, this.#path)
  }

  #listenAt(path: string): Promise<Server> {
    const server = createServer((req, res) => {
      const hungUp = new AbortController()
      res.once('close', () => {
        if (!res.writableFinished) hungUp.abort()
      })
      void serveNode(req, res, (request) => this.#answer(request), this.#served.bodyBytesMax, hungUp.signal)
    })
    server.maxConnections = CONNECTIONS_MAX
    server.headersTimeout = HEADERS_MS_MAX
    server.requestTimeout = REQUEST_MS_MAX
    server.setTimeout(IDLE_MS_MAX)
    server.on('connection', (socket) => socket.unref())
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ path }, () => {
        server.off('error', reject)
        server.on('error', (error) =>
          this.options.logger.debug('The socket of the operator API had an error', { error: faultOf(error) }),
        )
        server.unref()
        // The system may have made the socket elsewhere, under a cut name.
        if (process.platform === 'win32' || isSocket(path)) resolve(server)
        else {
          server.close()
          reject(new Error('The socket was made under another name'))
        }
      })
    })
  }

  async #answer(request: Request): Promise<Response> {
    const served = this.#served
    const headers = headersOf(served)
    if (request.headers.get('origin') !== null) {
      const message = 'A request with an origin comes from a web page. The operator API serves none.'
      return problemResponse({ code: 'OPERATOR_REFUSED', message }, headers)
    }
    if (!this.#isAuthorized(request.headers.get('authorization'))) {
      const message = `The request has no valid secret. A client reads it from '${OPERATOR_DIR}/holder.json' for each opening of the store.`
      return problemResponse({ code: 'OPERATOR_REFUSED', message }, headers, 401)
    }
    const path = new URL(request.url).pathname
    const mismatch = refuseVersion(request, path, served.release)
    if (mismatch) return problemResponse(mismatch, headers)
    return dispatch(served, request, path, { by: actorOf(request.headers.get(ACTOR_HEADER)) })
  }

  /** 256 random bits as hexadecimal digits. */
  #random(): string {
    const { ids } = this.options
    return createHash('sha256').update(`${ids.seed()}${ids.seed()}${ids.seed()}`).digest('hex')
  }

  /** Compares hashes, which have one length, in constant time. */
  #isAuthorized(given: string | null): boolean {
    const hash = (text: string) => createHash('sha256').update(text).digest()
    return timingSafeEqual(hash(given ?? ''), hash(`Bearer ${this.#secret}`))
  }

  /** Notices at once that a file is gone. Where the system has no watches left, the look every ten seconds remains. */
  #watch(): void {
    const { dir } = this.options
    this.#watcher?.close()
    try {
      this.#watcher = watch(join(dir, OPERATOR_DIR), { persistent: false }, () => {
        if (this.#mustRepair()) setTimeout(() => this.#repair(), REPAIR_AFTER_MS).unref()
      })
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      this.#watcher = undefined
    }
  }

  /** Makes the files again if one was deleted or replaced. */
  #repair(): void {
    if (!this.#mustRepair()) return
    const { logger, dir, lockToken } = this.options
    this.#marks = undefined
    this.#working = this.#working.then(async () => {
      const before = this.#server
      const path = this.#path
      try {
        if (this.#isClosed || !(await isHeldBy(dir, lockToken))) return
        logger.warn(
          'The socket of the operator API was deleted, and is made again. Keep cleaners of old files away from the store and from the folder for temporary files.',
          { dir },
        )
        // First: the close of a server deletes the file at its path, which may be the path of the next one.
        before?.close()
        this.#server = undefined
        await this.#listen()
        if (!this.#isClosed) this.#watch()
        if (dirname(path) !== dirname(this.#path)) await removeSocketFolder(path)
      } catch (error) {
        // The next look tries again.
        this.#marks = ''
        logger.debug('The socket of the operator API could not be made again', { error: faultOf(error) })
      }
    })
  }

  /** True if a file of the running server was deleted or replaced. Never while the files are being made. */
  #mustRepair(): boolean {
    if (this.#isClosed || this.#marks === undefined) return false
    try {
      return marksOf(this.options.dir, this.#path) !== this.#marks
    } catch {
      return false
    }
  }
}

/** Closes a server. Answers that are being written may finish within a moment. */
function endServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // This timer keeps the process alive until the close is over.
    const late = setTimeout(() => server.closeAllConnections(), ANSWERS_MS_MAX)
    server.close(() => {
      clearTimeout(late)
      resolve()
    })
    server.closeIdleConnections()
  })
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true
}
