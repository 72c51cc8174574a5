// Goal: requests of one client have one address, whatever the machine writes it like.
import { expect, test } from 'vitest'
import { remoteNetwork } from '../../../../src/mcp/http/address.js'

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::FFFF:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::9', '2001:db8:1:2::/64'],
  ['2001:db8::1:2:3', '2001:db8:0:0::/64'],
  ['2001:db8:1:2::', '2001:db8:1:2::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  [undefined, undefined],
])('of %s the limits count %s: of IPv6 the first 64 bits', (remoteAddress, counted) => {
  expect(remoteNetwork(new Request('http://localhost'), { remoteAddress })).toBe(counted)
})
