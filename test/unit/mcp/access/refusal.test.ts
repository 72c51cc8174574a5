// Goal: what a client receives depends on typed fields of an error, never on the words of its message.
// Method: errors whose message was reworded, or that only look like a refusal, through the function that answers clients.
import { expect, test } from 'vitest'
import { InvalidArgument } from '../../../../src/base/expected.js'
import { HoldfastError, silentLogger } from '../../../../src/index.js'
import { refusalOf } from '../../../../src/mcp/access/refusal.js'

test('a task that does not exist is named by the field `taskId` of the error', () => {
  const error = new HoldfastError('TASK_NOT_FOUND', 'Reworded, and with "another" ending', {
    details: { taskId: 'a"b' },
  })
  expect(refusalOf(error, silentLogger)).toMatchObject({ code: -32_602, message: 'Task not found: a"b' })
})

test('only a refused argument is the fault of the client, whatever a fault of the code says', () => {
  const refused = refusalOf(new InvalidArgument('`label` is too long'), silentLogger)
  expect(refused).toMatchObject({ code: -32_602, message: '`label` is too long' })
  const fault = refusalOf(new TypeError('Expected `secret` to be something else'), silentLogger)
  expect(fault).toMatchObject({ code: -32_603, message: 'Internal error' })
})
