import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import { keyProviderContract } from '../contract/key-provider.ts'

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'sotto-key-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function keyFile(): Promise<string> {
  const path = join(temporary(), 'local.key')
  await createKeyFile(path)
  return path
}

function keyOf(path: string): Buffer {
  return Buffer.from(/^key (.*)$/m.exec(readFileSync(path, 'latin1'))?.[1] ?? '', 'base64')
}

keyProviderContract('local', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sotto-key-'))
  const [own, other] = [join(directory, 'own.key'), join(directory, 'other.key')]
  await createKeyFile(own)
  await createKeyFile(other)
  return {
    provider: localKeyProvider(own),
    again: localKeyProvider(own),
    other: localKeyProvider(other),
    secrets: [keyOf(own), keyOf(other)],
    [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true }),
  }
})

test('a new key file has mode 0600 and names its fingerprint', async () => {
  const path = join(temporary(), 'local.key')
  const fingerprint = await createKeyFile(path)
  expect(fingerprint).toMatch(/^[0-9a-f]{16}$/)
  expect(statSync(path).mode & 0o7777).toBe(0o600)
  expect(readFileSync(path, 'latin1')).toMatch(
    new RegExp(`^sotto local key 1\nfingerprint ${fingerprint}\nkey [A-Za-z0-9+/]{43}=\n$`),
  )
  expect(await localKeyProvider(path).fingerprint()).toBe(fingerprint)
})

test('a key file has its mode whatever the umask is', async () => {
  const path = join(temporary(), 'local.key')
  const before = process.umask(0o777)
  try {
    await createKeyFile(path)
  } finally {
    process.umask(before)
  }
  expect(statSync(path).mode & 0o7777).toBe(0o600)
})

test('directories made for a key file have mode 0700, those that were there keep theirs', async () => {
  const top = temporary()
  chmodSync(top, 0o755)
  await createKeyFile(join(top, 'state', 'keys', 'local.key'))
  expect(statSync(join(top, 'state')).mode & 0o777).toBe(0o700)
  expect(statSync(join(top, 'state', 'keys')).mode & 0o777).toBe(0o700)
  expect(statSync(top).mode & 0o777).toBe(0o755)
})

test('a key file is never replaced', async () => {
  const path = await keyFile()
  const before = readFileSync(path)
  await expect(createKeyFile(path)).rejects.toMatchObject({
    code: 'local',
    message: `Cannot create the key file ${JSON.stringify(path)}: something is there already`,
  })
  expect(readFileSync(path)).toEqual(before)
})

test('a link that dangles is not followed by the making of a key file', async () => {
  const top = temporary()
  symlinkSync(join(top, 'elsewhere'), join(top, 'local.key'))
  await expect(createKeyFile(join(top, 'local.key'))).rejects.toMatchObject({ code: 'local' })
  expect(readdirSync(top)).toEqual(['local.key'])
})

test('where no directory can be made, the making of a key file says so', async () => {
  const path = join(await keyFile(), 'local.key')
  await expect(createKeyFile(path)).rejects.toMatchObject({
    code: 'local',
    message: expect.stringContaining(`Cannot create the key file ${JSON.stringify(path)}: `),
  })
})

test('two new key files have different keys', async () => {
  expect(keyOf(await keyFile())).not.toEqual(keyOf(await keyFile()))
})

test('a key file that is not there is key_missing', async () => {
  const path = join(temporary(), 'local.key')
  await expect(localKeyProvider(path).fingerprint()).rejects.toMatchObject({
    code: 'key_missing',
    message: `Cannot read the key file ${JSON.stringify(path)}: there is no such file`,
    hint: expect.stringContaining('Bring back the key file'),
  })
})

test.each([0o604, 0o620, 0o602, 0o610, 0o644, 0o777])(
  'a key file of mode %o is key_exposed, and the message says how to close it',
  async (mode) => {
    const path = await keyFile()
    chmodSync(path, mode)
    await expect(localKeyProvider(path).wrap(randomBytes(32), 'store')).rejects.toMatchObject({
      code: 'key_exposed',
      message: expect.stringContaining(`(mode 0${mode.toString(8)})`),
      hint: expect.stringContaining('chmod 600'),
    })
  },
)

test.each([0o600, 0o400, 0o700])('a key file of mode %o is accepted', async (mode) => {
  const path = await keyFile()
  chmodSync(path, mode)
  expect(await localKeyProvider(path).fingerprint()).toMatch(/^[0-9a-f]{16}$/)
})

test.runIf(process.getuid?.() === 0)('a key file of another user is key_exposed', async () => {
  const path = await keyFile()
  chownSync(path, 12_345, 12_345)
  await expect(localKeyProvider(path).fingerprint()).rejects.toMatchObject({
    code: 'key_exposed',
    message: `Cannot use the key file ${JSON.stringify(path)}: it belongs to user 12345`,
  })
})

test('U6: a symbolic link to a key file is read where only root or we can change it', async () => {
  const path = await keyFile()
  symlinkSync(path, `${path}.link`)
  expect(await localKeyProvider(`${path}.link`).fingerprint()).toMatch(/^[0-9a-f]{16}$/)
  const open = join(temporary(), 'open')
  mkdirSync(open)
  chmodSync(open, 0o777)
  symlinkSync(path, join(open, 'link'))
  symlinkSync(join(open, 'link'), `${path}.far`)
  await expect(localKeyProvider(`${path}.far`).fingerprint()).rejects.toMatchObject({
    code: 'key_exposed',
    message: `Cannot use the key file ${JSON.stringify(`${path}.far`)}: others can write to ${JSON.stringify(open)}`,
  })
})

test('a directory and a named pipe are no key files, and do not make a call wait', async () => {
  const top = temporary()
  mkdirSync(join(top, 'directory'), { mode: 0o700 })
  execFileSync('sh', ['-c', 'mkfifo -m 600 "$0"', join(top, 'pipe')])
  for (const name of ['directory', 'pipe']) {
    await expect(localKeyProvider(join(top, name)).fingerprint()).rejects.toMatchObject({
      code: 'key_missing',
      message: expect.stringContaining('it is not a regular file'),
    })
  }
})

const malformed: [why: string, change: (text: string) => string][] = [
  ['empty', () => ''],
  ['cut short', (text) => text.slice(0, -4)],
  ['of another format', (text) => text.replace('key 1', 'key 2')],
  ['followed by more', (text) => `${text}key`],
  ['with a key in another alphabet', (text) => text.replace(/^key .{4}/m, 'key -_-_')],
  ['with stray bits after the key', (text) => text.replace(/.=$/m, 'B=')],
  ['of endless size', (text) => text + 'x'.repeat(1_000_000)],
]

test.each(malformed)('a key file that is %s is told as such', async (_, change) => {
  const path = await keyFile()
  const key = keyOf(path).toString('base64')
  writeFileSync(path, change(readFileSync(path, 'latin1')))
  const error: unknown = await localKeyProvider(path)
    .fingerprint()
    .catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    code: 'key_missing',
    message: `Cannot use the key file ${JSON.stringify(path)}: it is not a Sotto local key`,
  })
  expect(String(error)).not.toContain(key.slice(0, 8))
})

test('a key file that lost its last newline is accepted', async () => {
  const path = await keyFile()
  writeFileSync(path, readFileSync(path, 'latin1').trimEnd())
  expect(await localKeyProvider(path).fingerprint()).toMatch(/^[0-9a-f]{16}$/)
})

test('a key that its fingerprint does not name is told as such', async () => {
  const path = await keyFile()
  const key = randomBytes(32).toString('base64')
  const text = readFileSync(path, 'latin1')
  writeFileSync(path, text.replace(/^key .*$/m, `key ${key}`))
  await expect(localKeyProvider(path).fingerprint()).rejects.toMatchObject({
    code: 'key_missing',
    message: expect.stringContaining('its key is not the one that its fingerprint'),
  })
})

test('the bytes that the key was made of are overwritten', async () => {
  const given: Buffer[] = []
  const random = (size: number): Buffer => {
    const bytes = randomBytes(size)
    given.push(bytes)
    return bytes
  }
  await createKeyFile(join(temporary(), 'local.key'), random)
  expect(given.map((bytes) => bytes.equals(Buffer.alloc(32)))).toEqual([true])
})
