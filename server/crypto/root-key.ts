/** Wraps a store's root key, and gets it back from whichever key provider has the right key. */
import { timingSafeEqual } from 'node:crypto'
import { SottoError } from '../../client/api/errors.ts'
import { bounded } from './bounded.ts'
import { KEY_BYTES } from './envelope.ts'
import type { KeyProvider } from './provider.ts'

/** The root key of a store as one provider wrapped it. */
export interface Wrap {
  /** The provider's name. */
  readonly provider: string
  /** Names the provider's key. */
  readonly fingerprint: string
  readonly wrapped: Uint8Array
}

/** A root key, and where it came from. */
export interface OpenedRootKey<W extends Wrap> {
  /** 32 bytes, which the caller overwrites after use. */
  readonly rootKey: Uint8Array
  readonly wrap: W
  readonly failures: readonly SottoError[]
}

/**
 * The root key of the store `storeId`, which the caller overwrites after use, and the wrap that it
 * came from. Providers are asked in the order given; each is first asked for its fingerprint, and
 * only to unwrap what was wrapped under that. After a provider that fails, or does not answer a call for
 * `waitMs` (`key_missing`), the next one is asked. When none succeeds: throws `store_damaged` where there
 * are no wraps, `key_wrong` where the store was sealed under other keys than those given, and otherwise
 * what the providers threw, with the code of the first. `failures` is what those threw that were asked before the one that succeeded.
 */
export async function openRootKey<W extends Wrap>(
  providers: readonly KeyProvider[],
  wraps: readonly W[],
  storeId: string,
  waitMs?: number,
): Promise<OpenedRootKey<W>> {
  if (wraps.length === 0) {
    const message = `Cannot open store ${storeId}: it has no wrapped root key`
    throw new SottoError('store_damaged', message, { hint: 'Restore the store from a backup.' })
  }
  const failures: SottoError[] = []
  for (const provider of providers) {
    try {
      return { ...(await openWith(bounded(provider, waitMs), wraps, storeId)), failures }
    } catch (error) {
      if (!(error instanceof SottoError)) throw error
      failures.push(error)
    }
  }
  throw combined(failures) ?? wrongKey(storeId, wraps, 'and no key is given')
}

/** The root key, wrapped by `key`. Rejects as the provider does, within its bound. */
export async function wrapRootKey(
  key: KeyProvider,
  rootKey: Uint8Array,
  storeId: string,
): Promise<Wrap> {
  const asked = bounded(key)
  const fingerprint = await asked.fingerprint()
  return { provider: key.name, fingerprint, wrapped: await asked.wrap(rootKey, storeId) }
}

/** The same, opened again: permission to wrap does not imply permission to unwrap. */
export async function provenWrap(
  key: KeyProvider,
  rootKey: Uint8Array,
  storeId: string,
): Promise<Wrap> {
  const wrap = await wrapRootKey(key, rootKey, storeId)
  const opened = await bounded(key).unwrap(wrap.wrapped, storeId)
  const same = opened.length === rootKey.length && timingSafeEqual(opened, rootKey)
  opened.fill(0)
  if (same) return wrap
  throw new SottoError(
    'key_wrong',
    `Cannot seal a store under ${key.name} key ${wrap.fingerprint}: it does not give back what it wrapped`,
  )
}

/** The names of the keys of one provider that made `wraps`. */
export function fingerprintsOf(wraps: readonly Wrap[], provider: string): string[] {
  return wraps.filter((each) => each.provider === provider).map(({ fingerprint }) => fingerprint)
}

async function openWith<W extends Wrap>(
  provider: KeyProvider,
  wraps: readonly W[],
  storeId: string,
): Promise<{ rootKey: Uint8Array; wrap: W }> {
  const given = await provider.fingerprint(fingerprintsOf(wraps, provider.name))
  const wrap = wraps.find((each) => each.provider === provider.name && each.fingerprint === given)
  if (wrap === undefined)
    throw wrongKey(storeId, wraps, `the given key is ${provider.name} key ${given}`)
  const rootKey = await provider.unwrap(wrap.wrapped, storeId)
  if (rootKey.length === KEY_BYTES) return { rootKey, wrap }
  throw new SottoError(
    'store_damaged',
    `Cannot open store ${storeId}: its root key has ${rootKey.length} bytes where ${KEY_BYTES} are due`,
  )
}

function wrongKey(storeId: string, wraps: readonly Wrap[], given: string): SottoError {
  const message = `Cannot open store ${storeId}: it was sealed under ${named(wraps)}, ${given}`
  return new SottoError('key_wrong', message, { hint: hintFor(wraps) })
}

function hintFor(wraps: readonly Wrap[]): string {
  const has = (name: string): boolean => wraps.some(({ provider }) => provider === name)
  const hints = ['Give the key that the store was sealed under.']
  if (has('aws-kms')) hints.push('With its key of AWS KMS: --kms-key ARN')
  if (has('openbao-transit')) hints.push('With its key of OpenBao Transit: --transit-key NAME')
  if (has('recovery')) hints.push('With the identity of its recovery key: --recovery-identity FILE')
  return hints.join(' ')
}

function named(wraps: readonly Wrap[]): string {
  return wraps.map(({ provider, fingerprint }) => `${provider} key ${fingerprint}`).join(' or ')
}

/** One error with all of `failures`; undefined where there are none. */
function combined(failures: readonly SottoError[]): SottoError | undefined {
  const [first, ...others] = failures
  if (first === undefined || others.length === 0) return first
  return new SottoError(first.code, failures.map(({ message }) => message).join('; '), {
    ...(first.hint === undefined ? {} : { hint: first.hint }),
    cause: new AggregateError(failures),
  })
}
