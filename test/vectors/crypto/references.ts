/** References to values in backends, and records of backends: those that hold, and those that do not. */
import {
  dataKeyBinding,
  type Place,
  referenceBinding,
  valueBinding,
} from '../../../server/crypto/binding.ts'
import { encodeReference } from '../../../server/crypto/reference.ts'
import { rotateRoot } from '../../../server/crypto/root-rotation.ts'
import {
  alterations,
  dataKey,
  entries,
  flip,
  keyBytes,
  largest,
  type Named,
  openKeyring,
  otherStore,
  place,
  refused,
  rootBytes,
  sealedBy,
  source,
  storeId,
  value,
  version,
} from './base.ts'
import type { BackendVector, Expected, ReferenceVector } from './crypto-vector.ts'

function reference(
  comment: string,
  expect: Expected,
  changes: Partial<ReferenceVector> = {},
): ReferenceVector {
  const { keyring, rootKey, keyId, wrappedKey } = version(comment, expect)
  const held = bytesOf(1, place, value)
  return {
    comment,
    structure: 'reference',
    expect,
    storeId,
    rootKey,
    keyring,
    place,
    keyId,
    wrappedKey,
    sealed: sealedBy(dataKey, referenceBinding(storeId, place), held),
    value: value.toString('hex'),
    ...(expect === 'ok' && { backend: 1, fingerprint: held.subarray(4).toString('hex') }),
    ...changes,
  }
}

function bytesOf(backend: number, at: Place, plain: Uint8Array): Buffer {
  const id = Buffer.alloc(4)
  id.writeUInt32BE(backend)
  return Buffer.concat([id, openKeyring('').fingerprintOf(at, plain).fingerprint])
}

/** A reference that the keyring itself makes. */
function made(comment: string, at: Place, backend: number, plain: Buffer): ReferenceVector {
  const keyring = openKeyring(comment)
  const { number, fingerprint } = keyring.fingerprintOf(at, plain)
  const { keyId, wrappedKey, sealed } = keyring.sealReference(at, { backend, number, fingerprint })
  return reference(comment, 'ok', {
    place: at,
    keyId,
    wrappedKey: Buffer.from(wrappedKey).toString('hex'),
    sealed: Buffer.from(sealed).toString('hex'),
    value: plain.toString('hex'),
    backend,
    fingerprint: fingerprint.toString('hex'),
  })
}

/** What a store has of a value that was put after its root key was replaced, and the bytes of the reference. */
function laterReference(): { vector: Partial<ReferenceVector>; held: Buffer } {
  const stored = entries.map(({ sealed, ...head }) => ({
    ...head,
    sealed: Buffer.from(sealed, 'hex'),
  }))
  const rotated = rotateRoot(
    storeId,
    rootBytes,
    { keys: stored, lasting: [], root: { number: 1 } },
    { random: source('later reference'), clock: () => new Date('2026-03-04T05:06:07.891Z') },
  )
  const { number, fingerprint } = rotated.keyring.fingerprintOf(place, value)
  const shown = <T extends { readonly sealed: Uint8Array }>({ sealed, ...head }: T) => ({
    ...head,
    sealed: Buffer.from(sealed).toString('hex'),
  })
  return {
    vector: {
      rootKey: rotated.rootKey.toString('hex'),
      rootNumber: 2,
      keyring: rotated.keys.map(shown),
      lasting: rotated.lasting.map(shown),
    },
    held: encodeReference({ backend: 1, number, fingerprint }),
  }
}

/** Every case of a reference. */
export function references(): Named<ReferenceVector>[] {
  const { sealed } = reference('', 'ok')
  const held = bytesOf(1, place, value)
  const other = { ...place, version: 8 }
  const { vector: later, held: laterHeld } = laterReference()
  const under = (bytes: Uint8Array, at = place, store = storeId): string =>
    sealedBy(dataKey, referenceBinding(store, at), bytes)
  return [
    ['reference-plain', reference('The plain case.', 'ok')],
    ['reference-empty', made('To a value of no bytes.', place, 1, Buffer.alloc(0))],
    [
      'reference-largest-numbers',
      made(
        'The largest numbers, and a name of several alphabets.',
        { name: 'prod/größe/鍵/🔑', incarnation: largest, version: largest },
        largest,
        value,
      ),
    ],
    ...alterations(sealed, false).map(
      ([name, comment, because, altered]): Named<ReferenceVector> => [
        `reference-${name}`,
        reference(`It has ${comment}.`, refused('reference', because), { sealed: altered }),
      ],
    ),
    [
      'reference-other-version',
      reference('It was sealed for another version.', refused('reference'), {
        sealed: under(bytesOf(1, other, value), other),
      }),
    ],
    [
      'reference-other-store',
      reference('It was sealed for another store.', refused('reference'), {
        sealed: under(held, place, otherStore),
      }),
    ],
    [
      'reference-as-value',
      reference('A value stands where a reference belongs.', refused('reference'), {
        sealed: sealedBy(dataKey, valueBinding(storeId, place), held),
      }),
    ],
    [
      'reference-short',
      reference('What is sealed lacks its last byte.', refused('reference', 'length'), {
        sealed: under(held.subarray(0, -1)),
      }),
    ],
    [
      'reference-number-2',
      reference('The fingerprint was made with a later key.', 'ok', {
        ...later,
        fingerprint: laterHeld.subarray(4, 36).toString('hex'),
        sealed: under(laterHeld),
        number: 2,
      }),
    ],
    [
      'reference-number-1-written',
      reference('The number 1 is written, which is left out.', refused('reference', 'length'), {
        sealed: under(Buffer.concat([held, Buffer.from([0, 0, 0, 1])])),
      }),
    ],
    [
      'reference-number-0',
      reference('The number of the key is 0.', refused('reference', 'length'), {
        sealed: under(Buffer.concat([held, Buffer.from([0, 0, 0, 0])])),
      }),
    ],
    [
      'reference-number-unknown',
      reference('There is no key of this number.', refused('reference', 'unknown-key'), {
        sealed: under(Buffer.concat([held, Buffer.from([0, 0, 0, 3])])),
      }),
    ],
    [
      'reference-other-value',
      reference('The backend gives another value.', refused('reference', 'fingerprint'), {
        value: Buffer.from(`${value.toString()}!`).toString('hex'),
      }),
    ],
    [
      'reference-value-of-other-place',
      reference(
        'The fingerprint is that of the value at another place.',
        refused('reference', 'fingerprint'),
        {
          sealed: under(bytesOf(1, other, value)),
        },
      ),
    ],
    [
      'reference-data-key-moved',
      reference('The data key was wrapped for another version.', refused('data-key'), {
        wrappedKey: sealedBy(dataKey, dataKeyBinding(storeId, other), keyBytes('data key')),
      }),
    ],
  ]
}

type Backend = BackendVector['backend']

const baseBackend: Backend = {
  id: 3,
  name: 'vault',
  type: 'openbao',
  description: 'The team’s OpenBao',
  isDefault: true,
  config: '{"url":"https://bao.example.com:8200","mount":"secret","pathPrefix":"sotto"}',
  createdAt: '2026-02-03T04:05:06.789Z',
}

function record(comment: string, of: Backend, changes: Partial<BackendVector> = {}): BackendVector {
  return {
    comment,
    structure: 'backend',
    expect: 'ok',
    storeId,
    rootKey: rootBytes.toString('hex'),
    backend: of,
    mac: openKeyring('').backendMac(of).toString('hex'),
    ...changes,
  }
}

/** Every case of the record of a backend. */
export function backends(): Named<BackendVector>[] {
  const { mac } = record('', baseBackend)
  const changed: [what: string, Partial<Backend>][] = [
    ['id', { id: 4 }],
    ['name', { name: 'vaulu' }],
    ['type', { type: 'openba' }],
    ['description', { description: '' }],
    ['default', { isDefault: false }],
    ['config', { config: baseBackend.config.replace('bao.', 'bad.') }],
    ['created', { createdAt: '2026-02-03T04:05:06.790Z' }],
    ['border', { name: 'vaulto', type: 'penbao' }],
  ]
  return [
    ['backend-plain', record('The plain case.', baseBackend)],
    [
      'backend-not-default',
      record('One that does not keep new secrets.', { ...baseBackend, isDefault: false }),
    ],
    ...changed.map(
      ([what, change]): Named<BackendVector> => [
        `backend-other-${what}`,
        record(`The MAC is of a record with another ${what}.`, baseBackend, {
          expect: refused('backend'),
          mac: record('', { ...baseBackend, ...change }).mac,
        }),
      ],
    ),
    [
      'backend-other-store',
      record('The record is moved to another store.', baseBackend, {
        expect: refused('backend'),
        storeId: otherStore,
      }),
    ],
    [
      'backend-mac-last-bit',
      record('The last bit of the MAC is flipped.', baseBackend, {
        expect: refused('backend'),
        mac: flip(mac, 31, 1),
      }),
    ],
  ]
}
