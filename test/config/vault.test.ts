/** The settings of the surface for Vault's clients. */
import { expect, test } from 'vitest'
import { readDoctorConfig, readServerConfig } from '../../server/config/config.ts'

const dev = ['--dev']
const vaultOf = (...args: string[]) => readServerConfig([...dev, ...args], {}).vault

test('without an address there is no surface, and with one there is a mount', () => {
  expect(vaultOf()).toBe(undefined)
  expect(vaultOf('--vault-listen', ':8200')).toEqual({
    listen: { host: undefined, port: 8200 },
    mounts: [{ name: 'secret', prefix: '' }],
  })
  const vault = readDoctorConfig(['--vault-listen', '100.64.0.1:8200'], {}).vault
  expect(vault?.listen).toEqual({ host: '100.64.0.1', port: 8200 })
})

test('mounts have a prefix that is empty or ends with a slash', () => {
  const mounts = 'secret-prod=prod/,team/kv/=teams/a/,secret='
  expect(vaultOf('--vault-listen', ':1', '--vault-mount', mounts)?.mounts).toEqual([
    { name: 'secret-prod', prefix: 'prod/' },
    { name: 'team/kv', prefix: 'teams/a/' },
    { name: 'secret', prefix: '' },
  ])
})

test.each([
  'secret',
  '=prod/',
  'secret=prod',
  'sys=prod/',
  'auth/x=',
  '/secret=',
  'a b=',
  'secret=,secret=prod/',
  'kv=,kv/=',
])('%j is not a mount', (text) => {
  expect(() => vaultOf('--vault-listen', ':1', '--vault-mount', text)).toThrow(/as --vault-mount/)
})

const factor = [
  '--vault-listen',
  ':1',
  '--vault-issuer',
  'https://cluster.example',
  '--vault-keys',
  'https://cluster.example/keys',
]

test('service accounts have patterns, and nodes may be shared', () => {
  const accounts = 'shop/reader=prod/shop/*,bank/a.b=prod/bank/*, shop/reader=common'
  const args = ['--vault-service-account', accounts, '--vault-shared', 'tag:a,nXYZ']
  expect(vaultOf(...factor, ...args)?.factor).toEqual({
    issuer: 'https://cluster.example',
    keys: 'https://cluster.example/keys',
    accounts: new Map([
      ['shop/reader', ['prod/shop/*', 'common']],
      ['bank/a.b', ['prod/bank/*']],
    ]),
    shared: ['tag:a', 'nXYZ'],
  })
})

test.each([
  [[...factor], 'Service accounts take'],
  [['--vault-listen', ':1', '--vault-shared', 'tag:a'], 'Service accounts take'],
  [[...factor, '--vault-service-account', 'shop=x'], 'as --vault-service-account'],
  [[...factor, '--vault-service-account', 'shop/reader='], 'as --vault-service-account'],
  [
    [...factor, '--vault-service-account', 'a/b=c', '--vault-keys', 'http://a'],
    'as --vault-keys: it is not https://',
  ],
  [['--vault-issuer', 'x'], '--vault-issuer goes with --vault-listen'],
])('%j does not tell them apart', (args, why) => {
  expect(() => vaultOf(...args)).toThrow(why)
})

test.each([
  [['--vault-mount', 'secret='], '--vault-mount goes with --vault-listen'],
  [['--vault-listen', '8200'], 'as --vault-listen: it is not an address'],
  [['--vault-listen', '0.0.0.0:8200'], 'as --vault-listen: it means every address'],
])('%j does not fit', (args, why) => {
  expect(() => vaultOf(...args)).toThrow(why)
})

test('it does not go with a unix socket', () => {
  const args = ['--state-dir', '/s', '--serve-socket', '/run/s', '--vault-listen', ':8200']
  expect(() => readServerConfig(args, {})).toThrow('--vault-listen does not go with --serve-socket')
})
