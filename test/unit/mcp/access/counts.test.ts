// Goal: what an account may do in a minute it may do again a minute later, whatever the machine's clock is set to.
import { expect, test } from 'vitest'
import { checkDurableOptions } from '../../../../src/mcp/access/options.js'
import { RequestQuotas } from '../../../../src/mcp/access/quotas.js'
import { ManualClock } from '../../../../src/testing/index.js'

test.each([60_000, -3_600_000, 365 * 86_400_000])(
  'a full minute is over once the clock says %d ms more',
  async (ms) => {
    const clock = new ManualClock()
    const counts = new RequestQuotas(
      clock,
      checkDurableOptions({ access: 'local', limits: { requestsPerMinute: 2 } }).limits,
    )
    for (let requests = 0; requests < 2; requests++) counts.checkRequest('ann')
    expect(() => counts.checkRequest('ann')).toThrow(/requestsPerMinute/)
    counts.checkRequest('bob')
    await clock.jump(ms)
    counts.checkRequest('ann')
  },
)
