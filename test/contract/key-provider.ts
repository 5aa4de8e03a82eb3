/** What every key provider must do, whichever system keeps its key. */
import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'

/** What the suite needs of the kind of provider under test. */
export interface ProviderFixture extends AsyncDisposable {
  readonly provider: KeyProvider
  /** Another object for the same key, as a server makes it after a restart. */
  readonly again: KeyProvider
  /** A provider of the same kind whose key is another one. */
  readonly other: KeyProvider
  /** The same key where only its public half is; for kinds that wrap with that alone. */
  readonly publicHalf?: KeyProvider
  /** Bytes that no error may show, beside the root key: the provider's own key or credentials. */
  readonly secrets: readonly Uint8Array[]
}

/** Runs the suite on what `make` gives, which is made anew for each test. */
export function keyProviderContract(name: string, make: () => Promise<ProviderFixture>): void {
  describe(`${name} as a key provider`, () => {
    const storeId = '00112233445566778899aabbccddeeff'
    const otherStore = 'ffeeddccbbaa99887766554433221100'
    const rootKey = randomBytes(32)
    let fixture: ProviderFixture

    beforeEach(async () => {
      fixture = await make()
    })

    afterEach(() => fixture[Symbol.asyncDispose]())

    /** Expects a refusal with `key_wrong` that shows neither the root key nor the provider's. */
    async function expectWrong(opening: Promise<unknown>): Promise<void> {
      const error = await opening.then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(SottoError)
      expect(error).toMatchObject({ code: 'key_wrong' })
      expect((error as SottoError).message).toContain(fixture.provider.name)
      const shown = inspect(error, { depth: Infinity, showHidden: true })
      for (const spelling of [rootKey, ...fixture.secrets].flatMap(spellings)) {
        expect(shown).not.toContain(spelling)
      }
    }

    test('is named by one word', () => {
      expect(fixture.provider.name).toMatch(/^[a-z][a-z0-9-]*$/)
      expect(fixture.other.name).toBe(fixture.provider.name)
    })

    test('gives back what it wrapped', async () => {
      const wrapped = await fixture.provider.wrap(rootKey, storeId)
      expect(Buffer.from(await fixture.provider.unwrap(wrapped, storeId))).toEqual(rootKey)
    })

    test('gives it back after a restart', async () => {
      const wrapped = await fixture.provider.wrap(rootKey, storeId)
      expect(Buffer.from(await fixture.again.unwrap(wrapped, storeId))).toEqual(rootKey)
    })

    test('leaves the bytes that it is given alone', async () => {
      const given = Buffer.from(rootKey)
      const wrapped = await fixture.provider.wrap(given, storeId)
      expect(given).toEqual(rootKey)
      const kept = Buffer.from(wrapped)
      await fixture.provider.unwrap(wrapped, storeId)
      expect(Buffer.from(wrapped)).toEqual(kept)
    })

    test('does not show the root key in what it wrapped', async () => {
      const wrapped = Buffer.from(await fixture.provider.wrap(rootKey, storeId))
      expect(wrapped.includes(rootKey)).toBe(false)
      expect(wrapped.includes(rootKey.toString('base64'))).toBe(false)
    })

    test('refuses to unwrap for another store', async () => {
      const wrapped = await fixture.provider.wrap(rootKey, storeId)
      await expectWrong(fixture.provider.unwrap(wrapped, otherStore))
    })

    test('refuses what another key wrapped', async () => {
      await expectWrong(
        fixture.provider.unwrap(await fixture.other.wrap(rootKey, storeId), storeId),
      )
    })

    test('refuses bytes that were altered at any place', async () => {
      const wrapped = await fixture.provider.wrap(rootKey, storeId)
      for (const at of [0, 1, wrapped.length >> 1, wrapped.length - 1]) {
        const altered = Uint8Array.from(wrapped)
        altered[at]! ^= 1
        await expectWrong(fixture.provider.unwrap(altered, storeId))
      }
    })

    test('refuses bytes that were cut short, and none at all', async () => {
      const wrapped = await fixture.provider.wrap(rootKey, storeId)
      await expectWrong(fixture.provider.unwrap(wrapped.subarray(0, -1), storeId))
      await expectWrong(fixture.provider.unwrap(new Uint8Array(0), storeId))
    })

    test('wraps with the public half of its key, where it has one, and does not unwrap', async () => {
      const { provider, publicHalf } = fixture
      if (publicHalf === undefined) return
      const fingerprint = await provider.fingerprint()
      expect(await publicHalf.fingerprint()).toBe(fingerprint)
      const wrapped = await publicHalf.wrap(rootKey, storeId)
      expect(Buffer.from(await provider.unwrap(wrapped, storeId))).toEqual(rootKey)
      await expect(publicHalf.unwrap(wrapped, storeId)).rejects.toMatchObject({
        code: 'key_missing',
        message: expect.stringContaining(fingerprint),
      })
    })

    test('gives bytes that the caller may overwrite', async () => {
      const wrapped = await fixture.provider.wrap(rootKey, storeId)
      const first = await fixture.provider.unwrap(wrapped, storeId)
      first.fill(0)
      expect(Buffer.from(await fixture.provider.unwrap(wrapped, storeId))).toEqual(rootKey)
    })

    test('has one fingerprint, before and after a restart', async () => {
      const fingerprint = await fixture.provider.fingerprint()
      expect(fingerprint).not.toBe('')
      expect(await fixture.provider.fingerprint()).toBe(fingerprint)
      expect(await fixture.again.fingerprint()).toBe(fingerprint)
    })

    test('has another fingerprint for another key', async () => {
      expect(await fixture.other.fingerprint()).not.toBe(await fixture.provider.fingerprint())
    })
  })
}

/** The ways in which the first bytes of `secret` can come to stand in a text. */
function spellings(secret: Uint8Array): string[] {
  const start = Buffer.from(secret.subarray(0, 12))
  return [
    start.toString('hex'),
    start.toString('base64'),
    [...start].map((byte) => byte.toString(16).padStart(2, '0')).join(' '),
    [...start].join(','),
    [...start].join(', '),
  ]
}
