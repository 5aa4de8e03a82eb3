/** Which proxy a call goes through, by the rules of NO_PROXY; and what is never called through one. */
import { describe, expect, test } from 'vitest'
import { type Proxies, proxyFor, shownProxy } from '../../server/platform/proxies.ts'

const proxies = { https: 'http://secure:1/', http: 'http://plain:2/' }

const by = (url: string, given: Proxies = proxies) => proxyFor(new URL(url), given)

test('U14: each scheme has its proxy, and nothing without one', () => {
  expect(by('https://kms.example')).toBe('http://secure:1/')
  expect(by('http://kms.example')).toBe('http://plain:2/')
  expect(by('http://kms.example', { https: 'http://secure:1/' })).toBeUndefined()
  expect(by('https://kms.example', { http: 'http://plain:2/' })).toBeUndefined()
  expect(proxyFor(new URL('https://kms.example'))).toBeUndefined()
})

test.each([
  'https://localhost:8200',
  'https://LOCALHOST.',
  'https://127.0.0.1',
  'https://127.9.8.7:8200',
  'https://[::1]:8200',
  'https://[::ffff:127.0.0.1]',
  'https://100.64.0.1',
  'https://100.127.255.254:8200',
  'https://[fd7a:115c:a1e0::1]',
  'https://bao.tail1234.ts.net',
  'http://bao.tail1234.ts.net.:8200',
])('U14: %s is this machine or a tailnet, and is never called through a proxy', (url) => {
  expect(by(url)).toBeUndefined()
})

test.each(['https://100.128.0.1', 'https://ts.net.example', 'https://[fd7b::1]'])(
  'U14: %s is neither',
  (url) => {
    expect(by(url)).toBe(proxies.https)
  },
)

describe('U14: NO_PROXY', () => {
  test.for<[rule: string, url: string, excepted: boolean]>([
    ['*', 'https://a.example', true],
    ['example.com', 'https://example.com', true],
    ['example.com', 'https://s3.example.com', true],
    ['example.com', 'https://notexample.com', false],
    ['.example.com', 'https://s3.example.com', true],
    ['.example.com', 'https://example.com', true],
    ['.example.com', 'https://notexample.com', false],
    ['*.example.com', 'https://s3.example.com', true],
    ['*.example.com', 'https://example.com', false],
    ['EXAMPLE.com.', 'https://s3.example.COM', true],
    ['example.com', 'https://example.com.', true],
    ['example.com:8200', 'https://example.com:8200', true],
    ['example.com:8200', 'https://example.com', false],
    ['example.com:443', 'https://example.com', true],
    ['example.com:80', 'http://example.com', true],
    ['10.0.0.0/8', 'https://10.1.2.3', true],
    ['10.0.0.0/8', 'https://11.1.2.3', false],
    // A name is not looked up for it: whether it is inside is not known.
    ['10.0.0.0/8', 'https://a.example', false],
    ['10.1.2.3', 'https://10.1.2.3:8200', true],
    ['10.1.2.3:8200', 'https://10.1.2.3:8200', true],
    ['10.1.2.3:8200', 'https://10.1.2.3', false],
    ['2.3', 'https://10.1.2.3', false],
    ['fd00::/8', 'https://[fd00::1]', true],
    ['fd00::/8', 'https://[fe00::1]', false],
    ['fd00::1', 'https://[fd00:0::1]', true],
    ['[fd00::1]', 'https://[fd00::1]', true],
    ['[fd00::1]:8200', 'https://[fd00::1]:8200', true],
    ['[fd00::1]:8200', 'https://[fd00::1]', false],
    ['10.0.0.0/33', 'https://10.0.0.1', false],
    ['10.0.0.0/', 'https://11.0.0.1', false],
    ['a.example, 10.0.0.0/8\tb.example', 'https://b.example', true],
    [' ,, ', 'https://a.example', false],
  ])('"%s" and %s: %s', ([except, url, excepted]) => {
    expect(by(url, { ...proxies, except }) === undefined).toBe(excepted)
  })
})

test('U14: a proxy is shown without its credentials', () => {
  expect(shownProxy('http://user:pass%40word@proxy.example:3128/')).toBe(
    'http://proxy.example:3128',
  )
})
