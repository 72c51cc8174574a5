// Goal: docs/reference describes this version: it is what the generator writes, and its defaults are those of the code.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ERROR_CODES, type HoldfastEvents } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { pagesOf } from '../../scripts/reference/pages.js'
import { parseDoc, readSource } from '../../scripts/reference/source.js'
import { durationMs } from '../../src/base/duration.js'
import { EVENT_NAMES } from '../../src/base/events.js'
import { checkOptions } from '../../src/engine/checks/open-options.js'
import { checkDurableOptions } from '../../src/mcp/access/options.js'
import { defineTask } from '../../src/task/definition/definition.js'
import { retryPolicy } from '../../src/task/definition/retry-options.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const source = readSource(root)
const pages = pagesOf(source, ERROR_CODES)
const exported = source.entries.flatMap(({ exports }) => exports)

describe('the committed reference', () => {
  test('has the pages that the generator writes, and no other', () => {
    expect(readdirSync(`${root}docs/reference`).sort()).toEqual([...pages.keys()].sort())
  })

  test.each([...pages])('docs/reference/%s is what `npm run reference` writes', (name, text) => {
    expect(
      readFileSync(`${root}docs/reference/${name}`, 'utf8'),
      'Run `npm run reference` and commit the result.',
    ).toBe(text)
  })
})

describe('the generator', () => {
  test('finds every error, every event and every option of `open`', () => {
    for (const code of Object.keys(ERROR_CODES)) expect(pages.get('errors.md')).toContain(`\n### ${code}\n`)
    for (const event of Object.keys(EVENT_NAMES) as (keyof HoldfastEvents)[]) {
      expect(pages.get('events.md')).toContain(`\n## ${event}\n`)
    }
    const { members = [] } = exported.find(({ name }) => name === 'OpenOptions') ?? {}
    expect(members.map(({ name }) => name)).toContain('logLevel')
  })

  test('finds log lines of every level, also one whose text a function makes', () => {
    const lines = source.logLines.map(({ level, message }) => `${level} ${message}`)
    for (const level of ['debug', 'info', 'warn', 'error'])
      expect(lines.some((line) => line.startsWith(level))).toBe(true)
    expect(lines).toContain('info The store is open. No task was unfinished.')
    expect(lines).toContain('info 3 tasks resumed, 1 parked: CODE_CHANGED (import-flights)')
  })

  test('reads the text and the tags of a doc comment', () => {
    const doc = parseDoc('/**\n * Delay.\n * In ms.\n * @default 5\n * @throws TypeError for\n *   a text\n */')
    expect(doc).toEqual({
      text: 'Delay.\nIn ms.',
      tags: [
        ['default', '5'],
        ['throws', 'TypeError for\n  a text'],
      ],
    })
  })

  test('every exported name and every option has a doc comment', () => {
    const bare = exported.flatMap(({ name, kind, doc, members }) => [
      ...(doc.text === '' ? [name] : []),
      ...(kind === 'interface' && /(Options?|Limits)$/.test(name) ? members : [])
        .filter((member) => member.doc.text === '')
        .map((member) => `${name}.${member.name}`),
    ])
    expect(bare).toEqual([])
  })

  test('a default stands behind @default, where a table shows it', () => {
    const prose = exported.flatMap(({ name, members }) =>
      members.filter(({ doc }) => /\bDefault[: ]/.test(doc.text)).map((member) => `${name}.${member.name}`),
    )
    expect(prose).toEqual([])
  })
})

describe('the defaults', () => {
  /** The text behind @default of a member of an exported interface. */
  const shown = (type: string, member: string) => {
    const found = exported.find(({ name }) => name === type)?.members.find(({ name }) => name === member)
    return found?.doc.tags.find(([tag]) => tag === 'default')?.[1] ?? 'none'
  }
  const ms = (type: string, member: string) => durationMs(shown(type, member).replaceAll("'", ''), member)
  const defaults = checkOptions({ dir: 'x' })

  test('of `open` are those of the code', () => {
    for (const option of ['durability', 'recover', 'anchor'] as const) {
      expect(shown('OpenOptions', option)).toBe(`'${defaults[option]}'`)
    }
    for (const option of ['concurrency', 'maximumRecoveries', 'acceptDamage'] as const) {
      expect(shown('OpenOptions', option)).toBe(String(defaults[option]))
    }
    expect(ms('OpenOptions', 'idempotencyRetention')).toBe(defaults.retentionMs)
    expect(ms('OpenOptions', 'unloadAfter')).toBe(defaults.unloadAfterMs)
    expect(shown('OpenOptions', 'lockWait')).toBe(String(defaults.lockWaitMs))
  })

  test.each(Object.entries(defaults.limits))('of the limit %s is that of the code', (limit, value) => {
    const said =
      value === 2 ** 20 ? '1 MiB' : value === Number.POSITIVE_INFINITY ? 'Infinity' : value.toLocaleString('en')
    const followed: Record<string, string> = {
      liveTasksPerOwnerMax: '`liveTasksMax`',
      queueLengthMax: '`liveTasksMax`',
      loadedRunsMax: '10 × `concurrency`',
    }
    expect(shown('Limits', limit)).toBe(followed[limit] ?? said)
    if (limit === 'loadedRunsMax') expect(value).toBe(10 * defaults.concurrency)
  })

  test.each(Object.entries(checkDurableOptions({ access: 'local' }).limits))(
    'of the limit %s of clients is that of the code',
    (limit, value) => {
      expect(shown('McpLimits', limit)).toBe(
        limit === 'stateBytesMax' ? `${value / 1024} KiB` : value.toLocaleString('en'),
      )
    },
  )

  test('of a retry and a clean-up are those of the code', () => {
    const { maximumAttempts, initialMs, coefficient, maximumMs } = retryPolicy({})
    expect([
      shown('RetryOptions', 'maximumAttempts'),
      ms('RetryOptions', 'initialInterval'),
      shown('RetryOptions', 'backoffCoefficient'),
      shown('RetryOptions', 'maximumInterval'),
    ]).toEqual([String(maximumAttempts), initialMs, String(coefficient), '100 × `initialInterval`'])
    expect(maximumMs).toBe(100 * initialMs)
    const { cleanUp } = defineTask({ name: 'x' }, () => {})
    expect(shown('TaskOptions', 'cleanUp')).toBe("{ retry: { maximumAttempts: 5 }, timeout: '1m', grace: '5s' }")
    expect([cleanUp.retry.maximumAttempts, cleanUp.timeoutMs, cleanUp.graceMs]).toEqual([5, 60_000, 5_000])
    expect([ms('CleanUpOptions', 'timeout'), ms('CleanUpOptions', 'grace')]).toEqual([60_000, 5_000])
  })
})
