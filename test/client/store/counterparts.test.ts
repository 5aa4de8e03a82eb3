/** What setec's client library does and tests, what programs are promised besides, and the test of ours that holds each. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const suite = 'client/store/store-suite.ts'
const shapes = 'client/store/shapes.test.ts'
const cacheFiles = 'client/store/file-cache.test.ts'
const watch = 'client/store/watch.test.ts'
const testing = 'testing/test-server.slow.test.ts'

/** A file below test/, and what a title in it begins with or has. */
type Held = readonly [file: string, title: string]

/** Each test of setec's client package. */
const ofSetec: Readonly<Record<string, Held>> = {
  TestBadCache: [suite, 'TestBadCache'],
  TestCacheExpiry: [suite, 'TestCacheExpiry'],
  TestCachedStore: [suite, 'TestCachedStore'],
  TestExample: ['interop/use-it.test.ts', 'each program hears of a new version'],
  TestFields: [shapes, 'TestFields'],
  TestFileClientCacheCompatibility: [shapes, 'TestFileClientCacheCompatibility'],
  TestFileStore: [shapes, 'TestFileStore'],
  TestKeyring: [suite, 'TestKeyring'],
  TestLookup: [suite, 'TestLookup'],
  TestNewFileCache: [cacheFiles, 'TestNewFileCache'],
  // A handle is never nil: there is none of what is not held.
  TestNilSecret: [suite, 'NewStore_noLookup'],
  TestParseErrors: [shapes, 'TestParseErrors'],
  TestPartialRefresh: [suite, 'TestPartialRefresh'],
  TestPollDisabled: [suite, 'TestPollDisabled'],
  TestSlowInit: [suite, 'TestSlowInit'],
  TestStore: [suite, 'TestStore'],
  TestUpdater: [shapes, 'TestUpdater'],
  TestVersionedSecret: [suite, 'TestVersionedSecret'],
  TestVersionedSecretLookupsDisabled: [shapes, 'TestVersionedSecretLookupsDisabled'],
  TestVersionedSecretUnsupportedClient: [shapes, 'TestVersionedSecretUnsupportedClient'],
  TestWatcher: [suite, 'TestWatcher'],
}

/** What the library promises, a line each. */
const promises: readonly (readonly [promise: string, ...held: Held[]])[] = [
  [
    'declared names are there before construction ends, or its end is the caller’s',
    [suite, 'NewStore_missingSecret'],
    [suite, 'TestSlowInit'],
  ],
  [
    'S4-22: tracks named secrets, blocks until all are there, polls',
    [suite, 'every hour, give or take a tenth'],
  ],
  ['S4-23: a handle is always current, and never blocks', [suite, 'NewStoreOK']],
  [
    'S4-24: an updater builds at once, rebuilds on change, keeps the old one when that fails',
    [shapes, 'Dynamic'],
    [shapes, 'one that cannot be made leaves the old one'],
  ],
  [
    'S4-25: refresh is coalesced with the poll',
    [suite, 'refreshes at the same time share one poll'],
  ],
  [
    'S4-26: waits and tries again, or fails, where the server is not reached',
    [suite, 'a signal that ends it before any answer'],
  ],
  ['S4-27: with a cache, construction does not wait', [suite, 'opens without a server']],
  [
    'S4-28: a cache can be too old, and what is denied leaves it',
    [suite, 'what the server said too long ago is not used'],
    [suite, 'leaves the cache; and comes back'],
  ],
  [
    'S4-29: a file in place of a server, with Value or TextValue',
    [shapes, 'has what the file has, at its version'],
  ],
  [
    'S4-30: a file is read once; a cache is one',
    [shapes, 'TestFileClientCacheCompatibility'],
    [shapes, 'asks nobody later'],
  ],
  [
    'S4-31: what the client is can be chosen at the start',
    [shapes, 'opens at once, or fails at once'],
  ],
  [
    'S4-32: a real server for tests, everything allowed unless told otherwise',
    [testing, 'a store of it has what was put'],
    [testing, 'nodes may do what the test says'],
  ],
  ['undeclared names only with lookup', [suite, 'NewStore_noLookup']],
  ['undeclared entries expire by last access', [suite, 'TestCacheExpiry']],
  ['metrics of polls and errors', [suite, 'after failures later each time']],
  ['a keyring has all versions, the active one told apart', [suite, 'TestKeyring']],
  [
    'given versions are got, created, and forgotten once deleted',
    [suite, 'gets and creates given versions'],
  ],
  ['fields, JSON, a prefix', [shapes, 'reads each as what it is']],
  ['fixed values for tests', [shapes, 'fixed secrets have what they were made of']],
  [
    'a change is had without a poll',
    [watch, 'it is live, has a change'],
    ['client/store/watch.slow.test.ts', 'is live, has changes without a poll'],
  ],
  ['a server without a watch is polled', [watch, 'is polled, and asked again after an hour']],
  [
    'a server that says nothing, on a connection that does not break off, is noticed after 40 s',
    ['client/store/silence.slow.test.ts', 'it is stale after 40 s'],
  ],
  [
    'an answer that is older than what was told is not taken',
    [watch, 'one that is older than what was told'],
    ['client/store/watch-model.test.ts', 'never goes back'],
  ],
  ['what is denied on a stream leaves the cache at once', [watch, 'leaves the cache at once']],
  ['another branch is taken and reported', [watch, 'is taken and reported']],
]

const files = new Map<string, string>()
function textOf(file: string): string {
  const text = files.get(file) ?? readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
  files.set(file, text)
  return text
}

/** Whether a title of a test in the file has that. */
function hasTitle([file, title]: Held): boolean {
  const titles = textOf(file).matchAll(
    /(?:test|describe)(?:\.each\([^]*?\)+)?\(\s*(['"`])(.+?)\1,/g,
  )
  return [...titles].some(([, , found = '']) => found.includes(title))
}

test('each test of setec’s client has its counterpart', () => {
  const [, listed = ''] =
    /const run = \[([^\]]+)\]/.exec(textOf('interop/setec-client.test.ts')) ?? []
  const names = [...listed.matchAll(/'(\w+)'/g)].map(([, name]) => name)
  expect(names.length).toBeGreaterThan(20)
  expect(Object.keys(ofSetec)).toEqual(names)
  for (const [name, held] of Object.entries(ofSetec)) expect(hasTitle(held), name).toBe(true)
})

test('each promise of the library has its test', () => {
  for (const [promise, ...held] of promises) {
    expect(held.length, promise).toBeGreaterThan(0)
    for (const each of held) expect(hasTitle(each), `${promise}: ${each[1]}`).toBe(true)
  }
  const rows = Array.from({ length: 11 }, (_, at) => `S4-${22 + at}`)
  const answered = promises.flatMap(([promise]) => /^S4-\d+/.exec(promise)?.[0] ?? [])
  expect(answered).toEqual(rows)
})
