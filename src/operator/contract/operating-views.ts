/** Schemas of what explains a task, of the health of an instance, and of actions on many tasks. */
import { z } from 'zod'
import { StatusView } from './views.js'

const instant = z.number()
const end = z.number().optional()
const attempt = { attempt: z.number(), until: instant, since: end, lastError: z.string().optional() }

const WaitView = z.discriminatedUnion('for', [
  z.object({ for: z.enum(['sleep', 'message']), name: z.string(), since: instant, until: end }),
  z.object({ for: z.literal('answer'), name: z.string(), key: z.string(), since: instant, until: end }),
  z.object({ for: z.literal('child'), name: z.string(), taskId: z.string(), since: instant, until: end }),
  z.object({ for: z.literal('attempt'), name: z.string(), ...attempt }),
  z.object({ for: z.literal('client'), since: instant, until: end }),
])

const RunningCallView = z.object({
  kind: z.string(),
  name: z.string(),
  number: z.number(),
  branch: z.string().optional(),
  since: instant,
  attempt: z.number(),
})

const about = { taskId: z.string(), type: z.string(), status: StatusView, summary: z.string() }
const cause = z.enum(['held', 'manual', 'no-server'])
const parked = { code: z.string(), reason: z.string(), advice: z.string() }

const CleanUpView = z.discriminatedUnion('state', [
  z.object({ state: z.enum(['none', 'done', 'pending']) }),
  z.object({ state: z.literal('failed'), reason: z.string().optional() }),
  z.object({ state: z.literal('parked'), ...parked }),
  z.object({ state: z.literal('not-recovered'), cause, advice: z.string() }),
])

export const ExplanationView = z.discriminatedUnion('state', [
  z.object({
    state: z.literal('running'),
    ...about,
    startedAt: end,
    attempt: z.number(),
    calls: z.array(RunningCallView),
    waits: z.array(WaitView),
  }),
  z.object({
    state: z.literal('queued'),
    ...about,
    since: instant,
    ahead: z.number(),
    queued: z.number(),
    limits: z.array(
      z.object({ limit: z.enum(['concurrency', 'type', 'owner']), max: z.number(), running: z.number() }),
    ),
  }),
  z.object({ state: z.literal('waiting'), ...about, waits: z.array(WaitView) }),
  z.object({ state: z.literal('next-attempt'), ...about, ...attempt }),
  z.object({ state: z.literal('suspect'), ...about, deaths: z.number() }),
  z.object({ state: z.literal('parked'), ...about, ...parked, since: instant }),
  z.object({ state: z.literal('not-recovered'), ...about, cause, advice: z.string() }),
  z.object({ state: z.literal('store-down'), ...about }),
  z.object({ state: z.literal('settled'), ...about, settledAt: instant, cleanUp: CleanUpView }),
])

export const HealthView = z.object({
  live: z.boolean(),
  ready: z.boolean(),
  reasons: z.array(z.object({ code: z.string(), message: z.string(), isBlocking: z.boolean() })),
  recovery: z.object({
    state: z.enum(['held', 'waiting', 'running', 'done']),
    found: z.number(),
    left: z.number(),
  }),
  store: z.object({ state: z.enum(['up', 'down', 'lost', 'closed']), error: z.string().optional() }),
  disk: z.object({ freeBytes: z.number(), totalBytes: z.number() }).optional(),
  damage: z.object({ store: z.string().optional(), tasks: z.number() }),
})

export const ManyView = z.object({
  dryRun: z.boolean(),
  counts: z.object({ done: z.number(), notApplicable: z.number(), changed: z.number(), failed: z.number() }),
  failedBy: z.record(z.string(), z.number()),
  errors: z.array(z.object({ taskId: z.string(), code: z.string(), message: z.string() })),
  cursor: z.string().optional(),
})
