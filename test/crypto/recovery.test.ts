import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import {
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from 'age-encryption'
import { expect, onTestFinished, test } from 'vitest'
import { rootKeyBinding } from '../../server/crypto/binding.ts'
import { identityProvider, recipientProvider } from '../../server/crypto/recovery.ts'
import { keyProviderContract } from '../contract/key-provider.ts'

const storeId = '00112233445566778899aabbccddeeff'

function write(path: string, text: string): string {
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'sotto-recovery-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

for (const [kind, generate] of [
  ['recovery', generateX25519Identity],
  ['recovery with a post-quantum key', generateHybridIdentity],
] as const) {
  keyProviderContract(kind, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sotto-recovery-'))
    const [own, other] = [await generate(), await generate()]
    const file = write(join(directory, 'own'), `# created: today\n# public key: x\n${own}\n`)
    return {
      provider: identityProvider(file),
      again: identityProvider(file),
      other: identityProvider(write(join(directory, 'other'), other)),
      publicHalf: await recipientProvider(await identityToRecipient(own)),
      secrets: [Buffer.from(own.slice(16)), Buffer.from(other.slice(16))],
      [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true }),
    }
  })
}

test('a wrap is an age file with the binding of the store and the root key in it', async () => {
  const identity = await generateX25519Identity()
  const rootKey = randomBytes(32)
  const provider = await recipientProvider(await identityToRecipient(identity))
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  const plain = await decrypter.decrypt(await provider.wrap(rootKey, storeId))
  expect(Buffer.from(plain)).toEqual(Buffer.concat([rootKeyBinding(storeId).bytes, rootKey]))
})

test('the wrap of another store is told as such, and so are bytes that are no root key', async () => {
  const identity = await generateX25519Identity()
  const provider = identityProvider(write(join(temporary(), 'identity'), identity))
  const wrapped = await provider.wrap(randomBytes(32), 'f'.repeat(32))
  const encrypter = new Encrypter()
  encrypter.addRecipient(await identityToRecipient(identity))
  const fingerprint = await provider.fingerprint()
  for (const each of [wrapped, await encrypter.encrypt(randomBytes(32))]) {
    await expect(provider.unwrap(each, storeId)).rejects.toMatchObject({
      code: 'key_wrong',
      message: `Cannot unwrap the root key of store ${storeId} with recovery key ${fingerprint}: it was wrapped for another store`,
    })
  }
})

test('the fingerprint is the start of the SHA-256 of the recipient', async () => {
  const recipient = 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj'
  const provider = await recipientProvider(recipient)
  expect(await provider.fingerprint()).toBe('6a804773982840fa')
})

test.each([
  '',
  'age1',
  'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwk',
  'AGE1ZVKYG2LQZRAA2LNJVQEJ32NKUU0UES2S82HZRYE869XEEXVN73EQUNUJWJ',
  'age1tag1qwe0kafsjrar4txm6heqnhpfuggzr0gvznz7fvygxrlq90u5mq2pysxtw6h',
  'age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t',
  'ssh-ed25519 AAAA',
])('%s is no recipient', async (text) => {
  await expect(recipientProvider(text)).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining('it is not a recipient'),
  })
})

test('an identity in the place of a recipient is not repeated', async () => {
  const identity = await generateX25519Identity()
  const error: unknown = await recipientProvider(identity).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'usage', message: expect.stringContaining('an identity') })
  expect(inspect(error)).not.toContain(identity.slice(20, 40))
})

test('an identity file that others can read is key_exposed, by way of a link too', async () => {
  const path = write(join(temporary(), 'identity'), await generateX25519Identity())
  symlinkSync(path, `${path}.link`)
  chmodSync(path, 0o644)
  await expect(identityProvider(`${path}.link`).fingerprint()).rejects.toMatchObject({
    code: 'key_exposed',
  })
  await expect(identityProvider(path).fingerprint()).rejects.toMatchObject({
    code: 'key_exposed',
    message: expect.stringContaining(`the recovery identity ${JSON.stringify(path)}: others`),
    hint: `chmod 600 "${path}", or in a volume of Kubernetes: defaultMode: 0400.`,
  })
})

const identity = await generateX25519Identity()

test.each([
  ['missing', undefined, 'there is no such file'],
  ['empty', '', 'it does not hold one age identity'],
  ['two of them', `${identity}\n${identity}\n`, 'it does not hold one age identity'],
  ['a recipient', 'age1zvkyg2lq\n', 'it does not hold one age identity'],
  ['cut short', identity.slice(0, -1), 'its age identity is damaged'],
  ['encrypted', 'age-encryption.org/v1\n-> scrypt', 'it is encrypted'],
  ['encrypted as text', '-----BEGIN AGE ENCRYPTED FILE-----\n', 'it is encrypted'],
])('an identity file that is %s is told as such', async (_, text, why) => {
  const path = join(temporary(), 'identity')
  if (text !== undefined) write(path, text)
  const error: unknown = await identityProvider(path)
    .fingerprint()
    .catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'key_missing', message: expect.stringContaining(why) })
  expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain(
    identity.slice(20, 40),
  )
})

test('an identity file with lines ended as on Windows is read', async () => {
  const path = write(join(temporary(), 'identity'), `# made elsewhere\r\n${identity}\r\n`)
  expect(await identityProvider(path).fingerprint()).toMatch(/^[0-9a-f]{16}$/)
})
