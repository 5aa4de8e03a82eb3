/** U6: one idea of a private file, tried with files as systemd, Kubernetes and people make them, as three users. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { generateX25519Identity } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import { identityProvider } from '../../server/crypto/recovery.ts'
import { readPair } from '../../server/http/certificates/file-certificates.ts'
import { OpenBaoConnection } from '../../server/openbao/connection.ts'
import { logIn } from '../../server/openbao/login.ts'
import { makePair } from '../support/certificates.ts'
import { outcomeOf } from '../support/read-private.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { needRoot, OTHER, runNodeAs, SERVER } from '../support/users.ts'

const isRoot = process.getuid?.() === 0
let scratch: ReturnType<typeof temporaryDirectory>
beforeAll(() => {
  scratch = temporaryDirectory()
  // Others have to come to what is in it.
  chmodSync(scratch.path, 0o755)
})
afterAll(() => scratch[Symbol.dispose]())

type Owner = readonly [uid: number, gid: number]
const root: Owner = [0, 0]
/** Of root, open to the group of the server: what an administrator or a platform decides. */
const shared: Owner = [0, SERVER]
const server: Owner = [SERVER, SERVER]
const other: Owner = [OTHER, OTHER]

function at(...parts: string[]): string {
  return join(scratch.path, ...parts)
}

function folder(name: string, mode: number, [uid, gid]: Owner = root): string {
  mkdirSync(at(name), { recursive: true })
  chownSync(at(name), uid, gid)
  chmodSync(at(name), mode)
  return name
}

function file(name: string, mode: number, [uid, gid]: Owner): string {
  mkdirSync(dirname(at(name)), { recursive: true })
  writeFileSync(at(name), 'key')
  chownSync(at(name), uid, gid)
  chmodSync(at(name), mode)
  return name
}

function link(name: string, target: string, owner: Owner = root): string {
  mkdirSync(dirname(at(name)), { recursive: true })
  symlinkSync(target, at(name))
  lchownSync(at(name), ...owner)
  return name
}

/** As systemd gives a credential to the user of a unit: of root, and by an access control list. */
function credential(name: string): string {
  file(name, 0o400, root)
  for (const [path, bits] of [
    [at(name), 4],
    [dirname(at(name)), 5],
  ] as const) {
    const entries = [
      [1, bits, -1],
      [2, bits, SERVER],
      [4, 0, -1],
      [16, bits, -1],
      [32, 0, -1],
    ]
    const list = entries.map(([tag, perm, id]) => `struct.pack('<HHi',${tag},${perm},${id})`)
    const value = `struct.pack('<I',2)+${list.join('+')}`
    const script = `import os,struct,sys; os.setxattr(sys.argv[1],'system.posix_acl_access',${value})`
    execFileSync('python3', ['-c', script, path])
  }
  return name
}

/** As a kubelet mounts a Secret, for a pod with that fsGroup. */
function secretVolume(name: string, mode: number): string {
  folder(name, 0o3777, shared)
  folder(`${name}/..2026_01_02`, 0o2755, shared)
  file(`${name}/..2026_01_02/local.key`, mode, shared)
  link(`${name}/..data_tmp`, '..2026_01_02')
  renameSync(at(name, '..data_tmp'), at(name, '..data'))
  return link(`${name}/local.key`, '..data/local.key')
}

const read = /^read$/
const denied =
  /^key_missing: Cannot read the key file ".*": .*permission denied \/ The user that the program runs as/
const belongsTo = (uid: number): RegExp => new RegExp(`^key_exposed: .*belongs to user ${uid} / `)
const open = (mode: number): RegExp =>
  new RegExp(`^key_exposed: .*\\(mode 0${mode.toString(8)}\\) / `)
const openOwn = (mode: number): RegExp => new RegExp(`${open(mode).source}chmod 600`)
const openRoots = (mode: number): RegExp =>
  new RegExp(
    `${open(mode).source}(?:As root: chmod 640|chmod 600) .*Kubernetes: defaultMode: 04[04]0`,
  )
const writable = /^key_exposed: Cannot use the key file ".*": others can write to ".*" \/ /

/** What it is, what makes it, and what comes of it as the user of the server, and as root. */
const members: readonly (readonly [string, () => string, RegExp, RegExp])[] = [
  ['own, 0600', () => file('own600', 0o600, server), read, belongsTo(SERVER)],
  ['own, 0400', () => file('own400', 0o400, server), read, belongsTo(SERVER)],
  ['own, 0640', () => file('own640', 0o640, server), openOwn(0o640), belongsTo(SERVER)],
  ['own, 0604', () => file('own604', 0o604, server), openOwn(0o604), belongsTo(SERVER)],
  ["root's, 0600", () => file('root600', 0o600, root), denied, read],
  ["root's, 0640, its group ours", () => file('root640', 0o640, shared), read, read],
  ["root's, 0440, its group ours", () => file('root440', 0o440, shared), read, read],
  ["root's, 0640, of another group", () => file('root640o', 0o640, [0, OTHER]), denied, read],
  ["root's, 0660", () => file('root660', 0o660, shared), openRoots(0o660), openRoots(0o660)],
  ["root's, 0650", () => file('root650', 0o650, shared), openRoots(0o650), openRoots(0o650)],
  ["root's, 0644", () => file('root644', 0o644, root), openRoots(0o644), openRoots(0o644)],
  [
    "another's, 0640",
    () => file('other', 0o640, [OTHER, SERVER]),
    belongsTo(OTHER),
    belongsTo(OTHER),
  ],
  ['a credential of systemd', () => credential('credentials/local.key'), read, read],
  ['a Secret with fsGroup', () => secretVolume('volume440', 0o440), read, read],
  ['a Secret with 0640', () => secretVolume('volume640', 0o640), read, read],
  [
    'a Secret with 0644',
    () => secretVolume('volume644', 0o644),
    openRoots(0o644),
    openRoots(0o644),
  ],
  [
    'in a folder that all may write to',
    () => file(`${folder('all', 0o777)}/key`, 0o640, shared),
    writable,
    writable,
  ],
  ['in a sticky one', () => file(`${folder('sticky', 0o1777)}/key`, 0o640, shared), read, read],
  [
    'below a folder that another group may write to',
    () => file(`${folder('group', 0o775, [0, OTHER])}/below/key`, 0o640, shared),
    writable,
    writable,
  ],
  [
    "below root's that our group may write to",
    () => file(`${folder('ours', 0o775, shared)}/below/key`, 0o640, shared),
    read,
    // Root is not in that group.
    writable,
  ],
  [
    'below our own that our group may write to',
    () => file(`${folder('own', 0o775, server)}/below/key`, 0o600, server),
    writable,
    belongsTo(SERVER),
  ],
  [
    "in another's folder",
    () => file(`${folder('theirs', 0o755, other)}/key`, 0o640, shared),
    belongsTo(OTHER),
    belongsTo(OTHER),
  ],
  ['a link to it', () => link('link', file('linked', 0o640, shared)), read, read],
  [
    'a link to what is open to all',
    () => link('link644', file('linked644', 0o644, root)),
    openRoots(0o644),
    openRoots(0o644),
  ],
  [
    "a link to another's",
    () => link('linkother', file('linkedother', 0o644, other)),
    belongsTo(OTHER),
    belongsTo(OTHER),
  ],
  [
    'a link into a folder that others can write to',
    () => link('linkopen', file(`${folder('linkedopen', 0o777)}/key`, 0o640, shared)),
    writable,
    writable,
  ],
  [
    'a link through such a folder',
    () => {
      link(`${folder('through', 0o777)}/on`, file('throughkey', 0o640, shared))
      return link('linkthrough', 'through/on')
    },
    writable,
    writable,
  ],
  [
    "another's link in a sticky folder",
    () => link(`${folder('stickylink', 0o1777)}/key`, file('stickykey', 0o640, shared), other),
    belongsTo(OTHER),
    belongsTo(OTHER),
  ],
  [
    'a link that leads nowhere',
    () => link('dangling', 'gone'),
    /^key_missing: .*there is no such file \/ Bring back/,
    /^key_missing: .*there is no such file \/ Bring back/,
  ],
  [
    'a link to itself',
    () => link('loop', 'loop'),
    /^key_exposed: .*too many symbolic links \/ /,
    /^key_exposed: .*too many symbolic links \/ /,
  ],
  [
    'a folder',
    () => folder('folder', 0o700, server),
    /^key_missing: .*it is not a regular file \/ /,
    /^key_missing: .*it is not a regular file \/ /,
  ],
  [
    'a named pipe',
    () => {
      execFileSync('mkfifo', ['-m', '600', at('pipe')])
      chownSync(at('pipe'), ...server)
      return 'pipe'
    },
    /^key_missing: .*it is not a regular file \/ /,
    /^key_missing: .*it is not a regular file \/ /,
  ],
]

test('U6: what is private is the same for every file, whoever made it', async (context) => {
  needRoot(context)
  const paths = members.map(([, make]) => at(make()))
  const script = new URL('../support/read-private.ts', import.meta.url).pathname
  const { stdout, stderr } = await runNodeAs(SERVER, [script, ...paths])
  expect(stderr).toBe('')
  const asServer = JSON.parse(stdout) as string[]
  const asRoot = await Promise.all(paths.map(outcomeOf))
  for (const [index, [what, , forServer, forRoot]] of members.entries()) {
    expect.soft(asServer[index], `${what}, as the server`).toMatch(forServer)
    expect.soft(asRoot[index], `${what}, as root`).toMatch(forRoot)
  }
})

const pair = makePair(['server.example'])
const identity = await generateX25519Identity()

/** Every file that has to be private: its text, and what reads it. */
const kinds: Readonly<Record<string, readonly [string, (path: string) => Promise<unknown>]>> = {
  'a local key': ['', (path) => localKeyProvider(path).fingerprint()],
  'a recovery identity': [`${identity}\n`, (path) => identityProvider(path).fingerprint()],
  'the key of a certificate': [
    pair.key,
    (key) => {
      writeFileSync(at('tls.crt'), pair.certificate)
      return readPair({ certificate: at('tls.crt'), key }, new Date())
    },
  ],
  'a token for OpenBao': [
    's.abc\n',
    (file_) => throughOpenBao({ method: 'token', token: { file: file_ } }),
  ],
  'a secret id for OpenBao': [
    'id\n',
    (file_) => throughOpenBao({ method: 'approle', roleId: 'r', secretId: { file: file_ } }),
  ],
  'a password for OpenBao': [
    'pw\n',
    (file_) => throughOpenBao({ method: 'userpass', username: 'u', password: { file: file_ } }),
  ],
}

async function throughOpenBao(login: Parameters<typeof logIn>[1]): Promise<void> {
  const connection = new OpenBaoConnection({ url: 'https://127.0.0.1:1' })
  const outcome = await logIn(connection, login)
  if (!outcome.ok && outcome.failure.kind !== 'unreachable') throw new Error(outcome.failure.found)
}

describe.each(Object.entries(kinds))('U6: %s', (name, [text, use]) => {
  test('is read by that rule', async () => {
    const directory = join(scratch.path, name)
    mkdirSync(directory)
    const path = join(directory, 'private')
    if (text === '') await createKeyFile(path)
    else writeFileSync(path, text)
    chmodSync(path, 0o600)
    await expect(use(path)).resolves.not.toThrow()
    symlinkSync('private', join(directory, 'link'))
    await expect(use(join(directory, 'link'))).resolves.not.toThrow()
    for (const mode of [0o604, 0o644, 0o660]) {
      chmodSync(path, mode)
      await expect(use(path), mode.toString(8)).rejects.toThrow(/have rights to it/)
    }
    // One's own is open to nobody; of root's an administrator has decided.
    chmodSync(path, 0o640)
    const said = await use(path).then(
      () => '',
      (error: Error) => error.message,
    )
    expect(said).toMatch(isRoot ? /^$/ : /have rights to it/)
    chmodSync(path, 0o600)
    chmodSync(directory, 0o777)
    await expect(use(path)).rejects.toThrow(/others can write to/)
  })
})
