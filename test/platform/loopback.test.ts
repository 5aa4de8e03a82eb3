import { expect, test } from 'vitest'
import { isLoopback, isLoopbackHost } from '../../server/platform/loopback.ts'

test.each([
  ['127.0.0.1', true],
  ['127.255.3.4', true],
  ['::1', true],
  ['0:0:0:0:0:0:0:1', true],
  ['::ffff:127.0.0.1', true],
  ['::FFFF:7f00:1', true],
  ['127.0.0.256', false],
  ['127.1', false],
  ['128.0.0.1', false],
  ['::', false],
  ['::2', false],
  ['::127.0.0.1', false],
  ['::ffff:128.0.0.1', false],
  ['64:ff9b::7f00:1', false],
  ['::1%lo', false],
  ['localhost', false],
  ['', false],
])('U16: the address %j is loopback: %s', (address, expected) => {
  expect(isLoopback(address)).toBe(expected)
})

test.each([
  ['http://localhost', true],
  ['http://LOCALHOST.:80', true],
  ['http://127.1', true],
  ['http://[::1]:80', true],
  ['http://[::ffff:127.0.0.1]', true],
  ['http://0x7f000001', true],
  ['http://localhost.example.com', false],
  ['http://127.0.0.1.example.com', false],
  ['http://[::ffff:10.0.0.1]', false],
  ['http://0.0.0.0', false],
])('U16: what %s leads to is this machine: %s', (url, expected) => {
  expect(isLoopbackHost(new URL(url).hostname)).toBe(expected)
})
