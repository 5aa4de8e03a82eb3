/** U10: what editors, shells and Windows add to a text is passed over by every reader of such files. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { recipientsIn } from '../../server/start/new-key.ts'
import { authoritiesIn } from '../../server/backends/own-identity.ts'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import { identityProvider } from '../../server/crypto/recovery.ts'
import { readPair } from '../../server/http/certificates/file-certificates.ts'
import { DevelopmentTailnet } from '../../server/identity/development.ts'
import { OpenBaoConnection } from '../../server/openbao/connection.ts'
import { type Login, logIn } from '../../server/openbao/login.ts'
import { makePair } from '../support/certificates.ts'
import { inProcess } from '../cli/in-process.ts'
import { temporaryDirectory } from '../support/sotto.ts'

let scratch: ReturnType<typeof temporaryDirectory>
beforeEach(() => {
  scratch = temporaryDirectory()
})
afterEach(() => scratch[Symbol.dispose]())

type Change = (text: string) => string | Buffer

const harmless: readonly (readonly [string, Change])[] = [
  ['a mark of the byte order', (text) => `\uFEFF${text}`],
  ['lines ended as on Windows', (text) => text.replaceAll('\n', '\r\n')],
  ['lines ended as on old Macs', (text) => text.replaceAll('\n', '\r')],
  ['a blank line and blanks at the end', (text) => `${text.trimEnd()} \t\n \n\n`],
  ['no last line end', (text) => text.trimEnd()],
  ['all of that', (text) => `\uFEFF${text.replaceAll('\n', '\r\n')} \r\n\r\n`],
]

const mark = Buffer.from([0xff, 0xfe])
const swapped = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16()
const utf16: readonly (readonly [string, Change])[] = [
  ['little-endian', (text) => Buffer.concat([mark, Buffer.from(text, 'utf16le')])],
  ['big-endian', (text) => Buffer.concat([Buffer.from(mark).swap16(), swapped(text)])],
  ['without a mark', (text) => Buffer.from(text, 'utf16le')],
]

/** A file, and what reads it: rejects, or throws, with what is wrong. */
interface Kind {
  readonly text: string
  readonly read: (path: string) => unknown
}

const pair = makePair(['server.example'])
const identity = await generateX25519Identity()
const recipient = await identityToRecipient(identity)

async function throughOpenBao(login: Login): Promise<void> {
  const connection = new OpenBaoConnection({ url: 'https://127.0.0.1:1' })
  const outcome = await logIn(connection, login)
  if (!outcome.ok && outcome.failure.kind !== 'unreachable') throw new Error(outcome.failure.found)
  if (outcome.ok) expect(outcome.token.value).toBe('s.abc')
}

async function authorityOf(path: string): Promise<void> {
  const connection = new OpenBaoConnection({ url: 'https://127.0.0.1:1', caFile: path })
  const answer = await connection.call({ method: 'GET', path: 'sys/health' })
  if (!answer.ok && answer.failure.kind !== 'unreachable') throw new Error(answer.failure.found)
}

/** Has a command read a file, or stdin, as far as to ask a server that is not there. */
async function told(args: readonly string[], input = new Uint8Array(0)): Promise<void> {
  const { stderr } = await inProcess(['-s', 'http://127.0.0.1:1', 'backend', ...args], {}, input)
  if (!stderr.includes('127.0.0.1:1')) throw new Error(stderr)
}

const create = 'create b --type openbao --url https://bao:8200 --token-secret t --ca-file'
const backends =
  'kind: secretbackend\nname: a\ntype: openbao\nconfig:\n  url: https://bao.example:8200\n  auth: { method: jwt, role: sotto }\n'

const kinds: Readonly<Record<string, () => Promise<Kind> | Kind>> = {
  'a local key': async () => {
    const path = join(scratch.path, 'made.key')
    await createKeyFile(path)
    const text = readFileSync(path, 'utf8')
    return { text, read: (file) => localKeyProvider(file).fingerprint() }
  },
  'a recovery identity': () => ({
    text: `# made\n${identity}\n`,
    read: (path) => identityProvider(path).fingerprint(),
  }),
  'a file of recipients': () => ({
    text: `# one\n${recipient}\n`,
    read: (path) => expect(recipientsIn(path)).toEqual([recipient]),
  }),
  'a development tailnet': () => ({
    text: '{"nodes":{\n"127.0.0.2":{"name":"a","user":"x@y","rules":[]}}}\n',
    read: (path) => new DevelopmentTailnet(path),
  }),
  'a certificate': () => ({
    text: pair.certificate,
    read: (certificate) => {
      const key = join(scratch.path, 'tls.key')
      writeFileSync(key, pair.key, { mode: 0o600 })
      return readPair({ certificate, key }, new Date())
    },
  }),
  'the key of a certificate': () => ({
    text: pair.key,
    read: (key) => {
      const certificate = join(scratch.path, 'tls.crt')
      writeFileSync(certificate, pair.certificate)
      return readPair({ certificate, key }, new Date())
    },
  }),
  'authorities of backends': () => ({ text: pair.certificate, read: authoritiesIn }),
  'the authority of an OpenBao': () => ({ text: pair.certificate, read: authorityOf }),
  'a token': () => ({
    text: 's.abc\n',
    read: (file) => throughOpenBao({ method: 'token', token: { file } }),
  }),
  'a secret id': () => ({
    text: 'id\n',
    read: (file) => throughOpenBao({ method: 'approle', roleId: 'r', secretId: { file } }),
  }),
  'a password': () => ({
    text: 'pw\n',
    read: (file) => throughOpenBao({ method: 'userpass', username: 'u', password: { file } }),
  }),
  'a JWT': () => ({
    text: 'ey.j.w\n',
    read: (jwtFile) => throughOpenBao({ method: 'jwt', role: 'r', jwtFile }),
  }),
  'a file of backends': () => ({ text: backends, read: (path) => told(['apply', '-f', path]) }),
  'backends on stdin': () => ({
    text: backends,
    read: (path) => told(['apply', '-f', '-'], readFileSync(path)),
  }),
  'the authority of a backend': () => ({
    text: pair.certificate,
    read: (path) => told([...create.split(' '), path]),
  }),
}

describe.each(Object.entries(kinds))('U10: %s', (_, make) => {
  test('with what nobody sees is read', async () => {
    const { text, read } = await make()
    for (const [name, change] of harmless) {
      const path = join(scratch.path, 'given')
      writeFileSync(path, change(text), { mode: 0o600 })
      await expect((async () => read(path))(), name).resolves.not.toThrow()
    }
  })

  test('in UTF-16 is told as that', async () => {
    const { text, read } = await make()
    for (const [name, change] of utf16) {
      const path = join(scratch.path, 'given')
      writeFileSync(path, change(text), { mode: 0o600 })
      await expect((async () => read(path))(), name).rejects.toThrow(/it is UTF-16/)
    }
  })
})

test('U10: notes in Latin-1 around PEM are no harm; elsewhere they are told', async () => {
  const path = join(scratch.path, 'given')
  writeFileSync(path, Buffer.from(`# Z\u00fcrich\n${pair.certificate}`, 'latin1'))
  expect(await authoritiesIn(path)).toContain('BEGIN CERTIFICATE')
  writeFileSync(path, Buffer.from('{"nodes":{}} \u00fc', 'latin1'))
  expect(() => new DevelopmentTailnet(path)).toThrow(/it is not text in UTF-8/)
})

test('U10: files are read as text in one place alone', () => {
  const readers = ['server', 'cli', 'audit', 'client'].flatMap((room) =>
    readdirSync(room, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(room, name))
      .filter((name) => /\breadFile(?:Sync)?\(/.test(readFileSync(name, 'utf8'))),
  )
  expect(readers.toSorted()).toEqual([
    // A value as a person left it, to the byte.
    'cli/editor.ts',
    // Tables of the kernel.
    'cli/handlers/run/launch.ts',
    'cli/handlers/run/session.ts',
    'client/platform/owned.ts',
    'client/platform/text-file.ts',
    // A secret as it is, to the byte.
    'client/store/fixed.ts',
    // Its own notes of backups.
    'server/backup/schedule/memory.ts',
    // Its own notes of what programs hold.
    'server/consumers/keeper.ts',
    // Tables of the kernel.
    'server/http/load.ts',
    'server/identity/tailscale/loopback-guard.ts',
    // The id of the machine.
    'server/platform/host.ts',
    'server/platform/version.ts',
    // Its own process id.
    'server/store/lock.ts',
  ])
})
