/** Root keys: what names them, and what is sealed under one for the time after it. */
import { createSecretKey } from 'node:crypto'
import { lastingBinding, previousStateBinding } from '../../../server/crypto/binding.ts'
import { deriveKey } from '../../../server/crypto/derive.ts'
import { Keyring } from '../../../server/crypto/keyring.ts'
import { rotateRoot } from '../../../server/crypto/root-rotation.ts'
import {
  alterations,
  entries,
  keyBytes,
  type Named,
  otherStore,
  place,
  refused,
  rootBytes,
  sealedBy,
  source,
  storeId,
  value,
} from './base.ts'
import type { Expected, RootVector, VersionVector } from './crypto-vector.ts'

const createdAt = '2026-03-04T05:06:07.891Z'
const purposes = ['value-fingerprint', 'mirror', 'audit'] as const
const secondRoot = keyBytes('second root key')
const secondKey = createSecretKey(secondRoot)
const lastingSealer = deriveKey(secondKey, storeId, 'lasting-key')

/** A lasting key of the second root key: one from before, or the newest. */
function lasting(purpose: string, number: number, of = { purpose, number }, store = storeId) {
  const raw = keyBytes(`lasting ${purpose} ${number}`)
  const sealed = sealedBy(lastingSealer, lastingBinding(store, of), raw)
  return { purpose, number, createdAt, sealed }
}

const all = purposes.flatMap((purpose) => [lasting(purpose, 1), lasting(purpose, 2)])
const previousBytes = deriveKey(createSecretKey(rootBytes), storeId, 'state').export()

function previous(number = 2, store = storeId): string {
  const key = deriveKey(secondKey, storeId, 'previous-state')
  return sealedBy(key, previousStateBinding(store, number), previousBytes)
}

function root(
  comment: string,
  expect: Expected,
  changes: Partial<RootVector> = {},
  keys?: RootVector['keys'],
): RootVector {
  const made = purposes.map((purpose) => [
    purpose,
    [2, 1].map((number) => ({
      number,
      key: keyBytes(`lasting ${purpose} ${number}`).toString('hex'),
    })),
  ])
  const vector: RootVector = {
    comment,
    structure: 'root',
    expect,
    storeId,
    rootKey: secondRoot.toString('hex'),
    rootNumber: 2,
    lasting: all,
    ...changes,
  }
  if (expect !== 'ok') return vector
  const named = Keyring.create(vector.storeId, { random: () => Buffer.from(vector.rootKey, 'hex') })
  return {
    ...vector,
    fingerprint: named.keyring.rootFingerprint,
    keys: keys ?? (Object.fromEntries(made) as RootVector['keys']),
    ...(vector.previous !== undefined && { previousKey: previousBytes.toString('hex') }),
  }
}

/** The keys that a root key gives where none is stored. */
function derived(rootKey: Buffer, number: number): NonNullable<RootVector['keys']> {
  const of = (use: 'value-fingerprint' | 'state' | 'audit') => [
    { number, key: deriveKey(createSecretKey(rootKey), storeId, use).export().toString('hex') },
  ]
  return { 'value-fingerprint': of('value-fingerprint'), mirror: of('state'), audit: of('audit') }
}

/** Every case of a root key. */
export function roots(): Named<RootVector>[] {
  const [first] = all
  if (first === undefined) throw new Error('no lasting key')
  const withFirst = (changed: object) => ({ lasting: [{ ...first, ...changed }, ...all.slice(1)] })
  return [
    ['root-plain', root('The plain case: one that replaced another.', 'ok')],
    ['root-unsettled', root('Not all MACs were made again yet.', 'ok', { previous: previous() })],
    [
      'root-of-earlier-release',
      root(
        'A store that an earlier release made: no key is stored, and the root key gives them.',
        'ok',
        { rootKey: rootBytes.toString('hex'), rootNumber: 1, lasting: [] },
        derived(rootBytes, 1),
      ),
    ],
    ...alterations(first.sealed, true).map(
      ([name, comment, because, sealed]): Named<RootVector> => [
        `lasting-key-${name}`,
        root(
          `A lasting key has ${comment}.`,
          refused('lasting-key', because),
          withFirst({ sealed }),
        ),
      ],
    ),
    [
      'lasting-key-other-purpose',
      root('A lasting key stands under another purpose.', refused('lasting-key'), {
        lasting: [lasting('audit', 1, { purpose: 'mirror', number: 1 }), ...all.slice(1)],
      }),
    ],
    [
      'lasting-key-other-number',
      root('A lasting key stands under another number.', refused('lasting-key'), {
        lasting: [lasting('mirror', 1, { purpose: 'mirror', number: 2 })],
      }),
    ],
    [
      'lasting-key-other-store',
      root('A lasting key is that of another store.', refused('lasting-key'), {
        lasting: [lasting('mirror', 1, undefined, otherStore)],
      }),
    ],
    [
      'lasting-key-other-root-key',
      root('The root key is another one.', refused('lasting-key'), {
        rootKey: rootBytes.toString('hex'),
      }),
    ],
    ...alterations(previous(), true).map(
      ([name, comment, because, altered]): Named<RootVector> => [
        `previous-state-${name}`,
        root(`The key of the MACs before has ${comment}.`, refused('previous-state', because), {
          previous: altered,
        }),
      ],
    ),
    [
      'previous-state-other-number',
      root('The key of the MACs before is that of another number.', refused('previous-state'), {
        previous: previous(3),
      }),
    ],
    [
      'previous-state-other-store',
      root('The key of the MACs before is that of another store.', refused('previous-state'), {
        previous: previous(2, otherStore),
      }),
    ],
  ]
}

/** The version of `rotation-moved`, whose root key is then replaced: before its data key has moved, and after. */
export function rootRotations(): Named<VersionVector>[] {
  const stored = entries.map(({ sealed, ...head }) => ({
    ...head,
    sealed: Buffer.from(sealed, 'hex'),
  }))
  const under = { keys: stored, lasting: [], root: { number: 1 } }
  const options = { random: source('root rotation'), clock: () => new Date(createdAt) }
  const before = Keyring.open(storeId, rootBytes, stored, { random: source('before') })
  const sealed = before.seal(place, value)
  const { keyring, rootKey, keys } = rotateRoot(storeId, rootBytes, under, options)
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const shown = keys.map((key) => ({ ...key, sealed: hex(key.sealed) }))
  const moved = keyring.rewrap(place, sealed)
  const of = (
    comment: string,
    expect: Expected,
    wrapped: { readonly keyId: number; readonly wrappedKey: Uint8Array },
    changes: Partial<VersionVector> = {},
  ): VersionVector => ({
    comment,
    structure: 'version',
    expect,
    storeId,
    rootKey: hex(rootKey),
    rootNumber: 2,
    keyring: shown,
    place,
    keyId: wrapped.keyId,
    wrappedKey: hex(wrapped.wrappedKey),
    sealed: hex(sealed.sealed),
    ...(expect === 'ok' && { value: value.toString('hex') }),
    ...changes,
  })
  return [
    [
      'root-rotation-begun',
      of('The root key was replaced, and the data key is to move.', 'ok', sealed),
    ],
    ['root-rotation-moved', of('The data key has moved to the new entry.', 'ok', moved)],
    [
      'root-rotation-after',
      of('The entries from before are erased.', 'ok', moved, { keyring: shown.slice(-1) }),
    ],
    [
      'root-rotation-other-number',
      of(
        'The root key stands under the number of the one before.',
        refused('keyring-entry'),
        moved,
        {
          rootNumber: 1,
        },
      ),
    ],
    [
      'root-rotation-other-root-key',
      of('The root key is the one before.', refused('keyring-entry'), moved, {
        rootKey: hex(rootBytes),
      }),
    ],
    [
      'root-rotation-old-entry',
      of('An entry stands as it was sealed before.', refused('keyring-entry'), moved, {
        keyring: [...entries.slice(0, 1), ...shown.slice(-1)],
      }),
    ],
  ]
}
