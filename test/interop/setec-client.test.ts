/**
 * setec's own tests of its client library, as they are in its module, with a `sotto server --dev` in place of each of
 * their servers: test/interop/go/setectest.
 */
import { execFile, execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { describeWith, requirePeer } from '../support/peers.ts'
import { cli } from '../support/sotto.ts'

/** The package whose tests run. */
const judge = 'client/setec'

/** Its tests that run: all of them. */
const run = [
  'TestBadCache',
  'TestCacheExpiry',
  'TestCachedStore',
  'TestExample',
  'TestFields',
  'TestFileClientCacheCompatibility',
  'TestFileStore',
  'TestKeyring',
  'TestLookup',
  'TestNewFileCache',
  'TestNilSecret',
  'TestParseErrors',
  'TestPartialRefresh',
  'TestPollDisabled',
  'TestSlowInit',
  'TestStore',
  'TestUpdater',
  'TestVersionedSecret',
  'TestVersionedSecretLookupsDisabled',
  'TestVersionedSecretUnsupportedClient',
  'TestWatcher',
]

/** Those of them that ask no server, and so show nothing about Sotto. */
const withoutServer = [
  'TestFileStore',
  'TestNewFileCache',
  'TestNilSecret',
  'TestParseErrors',
  'TestVersionedSecretLookupsDisabled',
  'TestVersionedSecretUnsupportedClient',
]

const ofServer =
  'takes the Go values of setec’s server and database apart, which no other server has'

/** Every other test of the module, and why it does not run. */
const exceptions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  acl: {
    TestACL:
      'calls the Go function that matches rules; test/interop/wire/rules.test.ts asks both servers',
  },
  audit: {
    TestWriter: 'writes with the Go type; test/interop/wire compares what both servers record',
  },
  db: Object.fromEntries(
    [
      'TestCreate',
      'TestCreateVersion',
      'TestDelete',
      'TestDeleteVersion',
      'TestGet',
      'TestList',
      'TestPut',
    ].map((name) => [name, ofServer]),
  ),
  server: Object.fromEntries(
    ['TestNew', 'TestServerGetChanged', 'TestServerStatus'].map((name) => [name, ofServer]),
  ),
}

describeWith(
  ['go', 'setec-client.test'],
  "R10: setec's own tests of its client, with Sotto",
  () => {
    let log = ''

    beforeAll(async () => {
      const command = [process.execPath, cli, 'server', '--dev', '--listen', '127.0.0.1:0']
      const env = { ...process.env, SOTTO_SERVER_COMMAND: JSON.stringify(command) }
      const args = ['-test.v', '-test.count=1', '-test.timeout=540s']
      const ended = promisify(execFile)(requirePeer('setec-client.test'), args, { env })
      // A run that failed is judged by what it printed.
      const { stdout, stderr } = await ended.catch(
        (error: unknown) => error as Awaited<typeof ended>,
      )
      log = stdout + stderr
    }, 600_000)

    /** What the log says of a test, with the line that ends it. */
    function said(name: string): string {
      const [, own = ''] = log.split(new RegExp(`^=== RUN {3}${name}$`, 'm'))
      return own.split(/^=== RUN {3}\w+$/m)[0] ?? ''
    }

    test.for(run)('%s', (name) => {
      const own = said(name)
      expect(own, log.slice(-2000)).toContain(`--- PASS: ${name} `)
      expect(own).not.toMatch(/--- (?:SKIP|FAIL)/)
      const answered = Number(/Sotto answered (\d+) requests/.exec(own)?.[1] ?? 0)
      expect(answered > 0, `${answered} requests`).toBe(!withoutServer.includes(name))
    })

    describe('of the module', () => {
      const module = execFileSync(
        requirePeer('go'),
        ['list', '-mod=readonly', '-m', '-f', '{{.Dir}}', 'github.com/tailscale/setec'],
        { cwd: join(import.meta.dirname, 'go'), encoding: 'utf8' },
      ).trim()

      test('every test runs or is an exception with a reason', () => {
        const there = globSync('**/*_test.go', { cwd: module }).flatMap((file) =>
          [...readFileSync(join(module, file), 'utf8').matchAll(/^func (Test\w+)\(/gm)].map(
            ([, name]) => `${join(file, '..')} ${name}`,
          ),
        )
        const named = [
          ...run.map((name) => `${judge} ${name}`),
          ...Object.entries(exceptions).flatMap(([folder, tests]) =>
            Object.keys(tests).map((name) => `${folder} ${name}`),
          ),
        ]
        expect(there.toSorted()).toEqual(named.toSorted())
      })
    })
  },
)
