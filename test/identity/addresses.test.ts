import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalAddress, isTailnetAddress } from '../../server/identity/tailscale/addresses.ts'

test.each([
  ['100.64.0.1', true],
  ['100.127.255.255', true],
  ['100.63.255.255', false],
  ['100.128.0.0', false],
  ['100.115.91.255', true],
  ['100.115.92.0', false],
  ['100.115.93.255', false],
  ['100.115.94.0', true],
  ['fd7a:115c:a1e0::1', true],
  ['fd7a:115c:a1e1::1', false],
  ['fd7a:115c:a1e0:ffff::1', true],
  ['10.0.0.1', false],
  ['192.168.1.2', false],
  ['127.0.0.1', false],
  ['::1', false],
  ['::', false],
  ['fe80::1', false],
])('%s is a tailnet address: %s', (address, expected) => {
  expect(isTailnetAddress(address)).toBe(expected)
})

test.each([
  ['::ffff:100.64.0.2', '100.64.0.2'],
  ['::FFFF:100.64.0.2', '100.64.0.2'],
  ['::ffff:6440:2', '100.64.0.2'],
  ['0:0:0:0:0:ffff:100.64.0.2', '100.64.0.2'],
  ['100.64.0.2', '100.64.0.2'],
  ['FD7A:115C:A1E0:0::0:1', 'fd7a:115c:a1e0::1'],
  ['fe80::1%eth0', undefined],
  ['::ffff:100.64.0.256', undefined],
  ['100.64.0.2:80', undefined],
  ['100.64.0.02', undefined],
  [' 100.64.0.2', undefined],
  ['100.64.0.2, 100.64.0.3', undefined],
  ['node-b', undefined],
  ['', undefined],
])('%j is spelled %j', (address, expected) => {
  expect(canonicalAddress(address)).toBe(expected)
})

test('an IPv4 address is one and the same in the clothes of IPv6', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      expect(canonicalAddress(`::ffff:${address}`)).toBe(address)
    }),
  )
})

test('a spelling is spelled as it is', () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      const once = canonicalAddress(address)
      expect(canonicalAddress(once ?? '')).toBe(once)
    }),
  )
})
