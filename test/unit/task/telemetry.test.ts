// Goal: spans get codes of errors and never a text that may be a message (telemetry-2); traces are those of W3C.
import { expect, test } from 'vitest'
import { HoldfastError } from '../../../src/base/errors.js'
import { errorCodeOf, spanTaskOf } from '../../../src/task/telemetry.js'
import { traceOf } from '../../../src/task/trace.js'

test.each([
  [new HoldfastError('TIMEOUT', 'too late'), 'TIMEOUT'],
  [new TypeError('secret'), 'TypeError'],
  [Object.assign(new Error('secret'), { code: 'ECONNRESET' }), 'ECONNRESET'],
  [Object.assign(new Error('secret'), { code: 404 }), '404'],
  [Object.assign(new Error('x'), { code: 'a secret' }), 'Error'],
  [Object.assign(new Error('x'), { name: 'a secret' }), 'Error'],
  ['a secret', 'NonError'],
  [undefined, 'NonError'],
])('the code of %s is %s', (thrown, code) => {
  expect(errorCodeOf(thrown)).toBe(code)
})

test('a session task is marked, because its client may choose its type', () => {
  const head = { taskId: 't', type: 'chosen', owner: undefined }
  expect(spanTaskOf({ ...head, kind: 'session' })).toEqual({ ...head, isSession: true })
  expect(spanTaskOf({ ...head, kind: 'body' })).toEqual({ ...head, isSession: false })
})

test('a trace is taken as it is in W3C, and an invalid one is none', () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  expect(traceOf(undefined)).toBeUndefined()
  expect(traceOf({ traceparent: 7 })).toBeUndefined()
  expect(traceOf({ traceparent: `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01` })).toBeUndefined()
  expect(traceOf({ traceparent, tracestate: 'a=b' })).toEqual({ traceparent, tracestate: 'a=b' })
  for (const tracestate of [undefined, 'é', 'x'.repeat(513)]) {
    expect(traceOf({ traceparent, tracestate })).toEqual({ traceparent })
  }
})
