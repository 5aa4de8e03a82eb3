/** The store that the vectors are made in, and the ways to alter what it seals. */
import { createHash, createSecretKey, type KeyObject } from 'node:crypto'
import {
  type Binding,
  dataKeyBinding,
  type EntryHead,
  entryBinding,
  type Place,
  valueBinding,
} from '../../../server/crypto/binding.ts'
import { deriveKey } from '../../../server/crypto/derive.ts'
import { type RandomSource, seal } from '../../../server/crypto/envelope.ts'
import { Keyring, type SealedEntry } from '../../../server/crypto/keyring.ts'
import type { Expected, Part, Reason, VectorEntry, VersionVector } from './crypto-vector.ts'

/** A vector with the name of its file. */
export type Named<V> = [name: string, vector: V]

export const storeId = '00112233445566778899aabbccddeeff'
export const otherStore = 'ffeeddccbbaa99887766554433221100'
export const place: Place = { name: 'prod/app/db-password', incarnation: 2, version: 7 }
export const largest = 4_294_967_295

/** The keyring has an older entry beside the active one. */
export const heads: readonly [old: EntryHead, active: EntryHead] = [
  { id: 1, createdAt: '2026-01-02T03:04:05.678Z', state: 'retiring' },
  { id: 2, createdAt: '2026-02-03T04:05:06.789Z', state: 'active' },
]

export const rootBytes: Buffer = keyBytes('root key')
export const rootKey: KeyObject = createSecretKey(rootBytes)
/** Seals the entries of the keyring. */
export const entrySealingKey: KeyObject = deriveKey(rootKey, storeId, 'keyring-entry')
/** What the two entries hold. */
export const entryBytes: readonly [Buffer, Buffer] = [keyBytes('entry 1'), keyBytes('entry 2')]
/** Wraps data keys; derived from the active entry. */
export const wrappingKey: KeyObject = deriveKey(createSecretKey(entryBytes[1]), storeId, 'data-key')
export const dataKeyBytes: Buffer = keyBytes('data key')
export const dataKey: KeyObject = createSecretKey(dataKeyBytes)
/** What the version at `place` holds. */
export const value: Buffer = Buffer.from('correct horse battery staple')
/** The data key as it is wrapped at `place`, in hex. */
export const wrapped: string = sealedBy(wrappingKey, dataKeyBinding(storeId, place), dataKeyBytes)
/** The value as it is sealed at `place`, in hex. */
export const sealed: string = sealedBy(dataKey, valueBinding(storeId, place), value)

/** The entries of the keyring. */
export const entries: readonly [old: VectorEntry, active: VectorEntry] = [
  {
    ...heads[0],
    sealed: sealedBy(entrySealingKey, entryBinding(storeId, heads[0]), entryBytes[0]),
  },
  {
    ...heads[1],
    sealed: sealedBy(entrySealingKey, entryBinding(storeId, heads[1]), entryBytes[1]),
  },
]

/** 32 bytes that are the same on every run, and others for each label. */
export function keyBytes(label: string): Buffer {
  return createHash('sha256').update(label).digest()
}

/** What a refusal is due to. */
export function refused(of: Part, because: Reason = 'authentication'): Expected {
  return { of, because }
}

/** `plain` sealed, in hex. */
export function sealedBy(key: KeyObject, binding: Binding, plain: Uint8Array): string {
  // The nonce comes from all that is sealed, so that no two envelopes of one key share theirs.
  const label = createHash('sha256').update(key.export()).update(binding.bytes).update(plain)
  return seal(key, binding, plain, source(label.digest('hex'))).toString('hex')
}

/** The version at `place`, with changes; its value only where it must open. */
export function version(
  comment: string,
  expect: Expected,
  changes: Partial<VersionVector> = {},
): VersionVector {
  return {
    comment,
    structure: 'version',
    expect,
    storeId,
    rootKey: rootBytes.toString('hex'),
    keyring: [...entries],
    place,
    keyId: 2,
    wrappedKey: wrapped,
    sealed,
    ...(expect === 'ok' ? { value: value.toString('hex') } : {}),
    ...changes,
  }
}

/** The keyring itself, drawing the same bytes for the same label. */
export function openKeyring(label: string): Keyring {
  const stored = entries.map(
    ({ sealed: hex, ...head }): SealedEntry => ({ ...head, sealed: Buffer.from(hex, 'hex') }),
  )
  return Keyring.open(storeId, rootBytes, stored, { random: source(label) })
}

/** Every way to alter an envelope. One that holds a key has one length only. */
export function alterations(
  hex: string,
  isKey: boolean,
): [name: string, comment: string, because: Reason, altered: string][] {
  const last = hex.length / 2 - 1
  const cut: Reason = isKey ? 'length' : 'authentication'
  return [
    ['nonce-first-bit', 'the first bit of its nonce flipped', 'authentication', flip(hex, 1, 0x80)],
    ['nonce-last-bit', 'the last bit of its nonce flipped', 'authentication', flip(hex, 12, 1)],
    ['text-first-bit', 'the first bit of its text flipped', 'authentication', flip(hex, 13, 0x80)],
    [
      'text-last-bit',
      'the last bit of its text flipped',
      'authentication',
      flip(hex, last - 16, 1),
    ],
    [
      'tag-first-bit',
      'the first bit of its tag flipped',
      'authentication',
      flip(hex, last - 15, 0x80),
    ],
    ['tag-last-bit', 'the last bit of its tag flipped', 'authentication', flip(hex, last, 1)],
    ['format-0', 'format 0', 'format', `00${hex.slice(2)}`],
    ['format-2', 'format 2', 'format', `02${hex.slice(2)}`],
    ['format-2-short', 'format 2, which may be shorter', 'format', '0200'],
    ['absent', 'no bytes', 'length', ''],
    ['cut-to-format', 'only its format', 'length', hex.slice(0, 2)],
    ['cut-in-nonce', 'an end inside its nonce', 'length', hex.slice(0, 2 * 12)],
    ['cut-to-nonce', 'nothing after its nonce', 'length', hex.slice(0, 2 * 13)],
    ['cut-in-tag', 'one byte too few for no text and a tag', 'length', hex.slice(0, 2 * 28)],
    ['cut-by-one', 'lost its last byte', cut, hex.slice(0, -2)],
    ['cut-text', 'lost the first byte of its text', cut, hex.slice(0, 26) + hex.slice(28)],
    ['longer', 'one more byte', cut, `${hex}00`],
  ]
}

/** `hex` with the bits of `mask` flipped in the byte at `at`. */
export function flip(hex: string, at: number, mask: number): string {
  const bytes = Buffer.from(hex, 'hex')
  bytes[at]! ^= mask
  return bytes.toString('hex')
}

/** Bytes that look random and are the same on every run. */
export function source(label: string): RandomSource {
  let count = 0
  return (size) => keyBytes(`${label} ${count++}`).subarray(0, size)
}
