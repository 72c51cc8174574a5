/** The engines that the bench can measure side by side, each behind the interface of engines/peer.mjs. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { postgresPrograms, type StartService, startPostgres, startRestate } from './services.js'

/** One engine. */
export interface Engine {
  readonly title: string
  /** Address of its module. */
  readonly module: string
  /** The workloads that it can run. */
  readonly workloads: readonly ('w1' | 'w2' | 'w3')[]
  /** Name and version of its package; `undefined` for those of this repository. */
  readonly package?: { readonly name: string; readonly version: string | undefined } | undefined
  /** Path of the Node that it needs, where that is not the one that runs the bench. */
  readonly node?: string
  /** True if it is a system that spreads over several machines, of which the bench uses one. */
  readonly isDistributed: boolean
  /** A sentence about its settings. */
  readonly note: string
  readonly startService?: StartService
  /** The reason for which it cannot be measured here; `undefined` if it can. */
  readonly unavailable: () => string | undefined
}

const address = (path: string) => new URL(path, import.meta.url)
const NODE_22 = fileURLToPath(address('peers/node_modules/node-22/bin/node'))
const OURS = { workloads: ['w1', 'w2', 'w3'], isDistributed: false, unavailable: () => undefined } as const

function notInstalled(): string | undefined {
  if (existsSync(address('peers/node_modules'))) return undefined
  return 'bench/peers is not installed: npm --prefix bench/peers ci'
}

function peer(module: string, packageName: string) {
  const file = address(`peers/node_modules/${packageName}/package.json`)
  const version = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version : undefined
  return {
    module: address(`peers/${module}.mjs`).href,
    package: { name: packageName, version },
    workloads: ['w1', 'w2', 'w3'],
    unavailable: notInstalled,
  } as const
}

/** Every engine by its name, in the order in which they are shown. */
export const ENGINES: Readonly<Record<string, Engine>> = {
  holdfast: {
    ...OURS,
    title: 'Holdfast',
    module: address('engines/holdfast.mjs').href,
    note: "`durability: 'synced'`, the default.",
  },
  'holdfast-deferred': {
    ...OURS,
    title: 'Holdfast, deferred steps',
    module: address('engines/holdfast-deferred.mjs').href,
    workloads: ['w1', 'w2'],
    note: "`commit: 'deferred'` for each step: a crash may run the last ones again.",
  },
  limit: {
    ...OURS,
    title: 'raw limit',
    module: address('engines/limit.mjs').href,
    workloads: ['w1', 'w2'],
    note: 'A loop that appends 1 KiB to a file and calls `fdatasync`.',
  },
  probe: {
    ...OURS,
    title: 'probe: LevelDB, group commit',
    module: address('engines/probe.mjs').href,
    workloads: ['w1', 'w2'],
    note: 'No engine: what LevelDB gives to a program that shares its synced batches. Chained batches, as Holdfast has them.',
  },
  'probe-array': {
    ...OURS,
    title: 'probe, batches as arrays',
    module: address('engines/probe-array.mjs').href,
    workloads: ['w1', 'w2'],
    note: 'The same with `level.batch([…])`, the usual form, which takes more processor time.',
  },
  openworkflow: {
    ...peer('openworkflow', 'openworkflow'),
    title: 'OpenWorkflow, SQLite',
    node: NODE_22,
    isDistributed: true,
    note: 'As shipped: WAL with `synchronous=FULL`. Several workers can share a PostgreSQL database.',
  },
  'langgraph-full': {
    ...peer('langgraph-full', '@langchain/langgraph'),
    title: 'LangGraph functional, SQLite, FULL',
    isDistributed: true,
    note: '`synchronous=FULL`, set by the bench. Other checkpointers serve several machines.',
  },
  langgraph: {
    ...peer('langgraph', '@langchain/langgraph'),
    title: 'LangGraph functional, SQLite, as shipped',
    isDistributed: true,
    note: '`synchronous=NORMAL`: a power cut can take acknowledged steps.',
  },
  restate: {
    ...peer('restate', '@restatedev/restate-sdk'),
    title: 'Restate',
    node: NODE_22,
    isDistributed: true,
    note: 'Its server is a process of its own, and stays up in W3. A cluster of servers can replicate its log.',
    startService: startRestate,
  },
  dbos: {
    ...peer('dbos', '@dbos-inc/dbos-sdk'),
    title: 'DBOS, PostgreSQL',
    isDistributed: true,
    note: 'PostgreSQL with its own defaults, which stays up in W3. Several processes can share the database.',
    startService: startPostgres,
    unavailable: () =>
      notInstalled() ??
      (postgresPrograms() === undefined ? 'PostgreSQL is not installed: apt-get install postgresql' : undefined),
  },
}
