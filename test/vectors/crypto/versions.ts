/** Versions of secrets that must open, and those that must not. */
import { createSecretKey } from 'node:crypto'
import {
  dataKeyBinding,
  type EntryHead,
  entryBinding,
  type Place,
  valueBinding,
} from '../../../server/crypto/binding.ts'
import { deriveKey } from '../../../server/crypto/derive.ts'
import {
  alterations,
  dataKey,
  dataKeyBytes,
  entries,
  entryBytes,
  entrySealingKey,
  heads,
  keyBytes,
  largest,
  type Named,
  openKeyring,
  otherStore,
  place,
  refused,
  sealed,
  sealedBy,
  storeId,
  value,
  version,
  wrapped,
  wrappingKey,
} from './base.ts'
import type { Part, VectorEntry, VersionVector } from './crypto-vector.ts'

/** Every case of a version. */
export function versions(): Named<VersionVector>[] {
  return [
    ...goodVersions(),
    ...rotatedVersions(),
    ...alteredVersions(),
    ...movedVersions(),
    ...forgedVersions(),
  ]
}

/** A version that opens, made by the keyring itself. */
function made(comment: string, at: Place, plain: Buffer): VersionVector {
  const { keyId, wrappedKey, sealed: bytes } = openKeyring(comment).seal(at, plain)
  return version(comment, 'ok', {
    place: at,
    keyId,
    wrappedKey: Buffer.from(wrappedKey).toString('hex'),
    sealed: Buffer.from(bytes).toString('hex'),
    value: plain.toString('hex'),
  })
}

function goodVersions(): Named<VersionVector>[] {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const oldKey = deriveKey(createSecretKey(entryBytes[0]), storeId, 'data-key')
  return [
    ['version-plain', version('The plain case.', 'ok')],
    ['version-empty', made('A value of no bytes.', place, Buffer.alloc(0))],
    ['version-every-byte', made('A value that is no text.', place, everyByte)],
    [
      'version-utf8-name',
      made('A name of several alphabets.', { ...place, name: 'prod/größe/鍵/🔑' }, value),
    ],
    [
      'version-largest-numbers',
      made(
        'The largest incarnation and version.',
        { name: 'x', incarnation: largest, version: largest },
        value,
      ),
    ],
    [
      'version-retiring-entry',
      version('The data key is wrapped by an entry that is no longer active.', 'ok', {
        keyId: 1,
        wrappedKey: sealedBy(oldKey, dataKeyBinding(storeId, place), dataKeyBytes),
      }),
    ],
  ]
}

/** The version of `version-retiring-entry` before, in and after a rotation from entry 1 to entry 2. */
function rotatedVersions(): Named<VersionVector>[] {
  const oldKey = deriveKey(createSecretKey(entryBytes[0]), storeId, 'data-key')
  const before = {
    keyId: 1,
    wrappedKey: sealedBy(oldKey, dataKeyBinding(storeId, place), dataKeyBytes),
  }
  const alone = resealed({ ...heads[0], state: 'active' }, 0)
  return [
    [
      'rotation-before',
      version('Before a rotation: the one entry is active.', 'ok', { ...before, keyring: [alone] }),
    ],
    [
      'rotation-moved',
      version('In a rotation: the data key has moved, and the old entry is there still.', 'ok'),
    ],
    [
      'rotation-after',
      version('After a rotation: the old entry is erased.', 'ok', { keyring: [entries[1]] }),
    ],
    [
      'rotation-left-behind',
      version(
        'After a rotation that left this version behind.',
        refused('data-key', 'unknown-entry'),
        { ...before, keyring: [entries[1]] },
      ),
    ],
    [
      'rotation-not-retired',
      version(
        'The old entry stands as it was sealed before the rotation, with its state changed.',
        refused('keyring-entry'),
        { keyring: [{ ...alone, state: 'retiring' }, entries[1]] },
      ),
    ],
    [
      'rotation-half-begun',
      version(
        'The new entry was added, and the old one was not retired.',
        refused('keyring', 'active-entries'),
        { ...before, keyring: [alone, entries[1]] },
      ),
    ],
  ]
}

/** An entry under another head, such as another state. */
function resealed(head: EntryHead, at: 0 | 1): VectorEntry {
  return {
    ...head,
    sealed: sealedBy(entrySealingKey, entryBinding(storeId, head), entryBytes[at]),
  }
}

/** Each part altered and cut in each region of its envelope. */
function alteredVersions(): Named<VersionVector>[] {
  const parts: [Part, string, (hex: string) => Partial<VersionVector>][] = [
    ['value', sealed, (hex) => ({ sealed: hex })],
    ['data-key', wrapped, (hex) => ({ wrappedKey: hex })],
    [
      'keyring-entry',
      entries[1].sealed,
      (hex) => ({ keyring: [entries[0], { ...entries[1], sealed: hex }] }),
    ],
  ]
  return parts.flatMap(([of, hex, change]) =>
    alterations(hex, of !== 'value').map(
      ([name, comment, because, altered]): Named<VersionVector> => [
        `${of}-${name}`,
        version(`The ${of} has ${comment}.`, refused(of, because), change(altered)),
      ],
    ),
  )
}

const elsewhere: [what: string, comment: string, storeId: string, Place][] = [
  ['name', 'another name', storeId, { ...place, name: 'prod/app/db-passwore' }],
  ['incarnation', 'another incarnation', storeId, { ...place, incarnation: 3 }],
  ['version', 'another version', storeId, { ...place, version: 8 }],
  [
    'swapped',
    'incarnation and version the other way round',
    storeId,
    { ...place, incarnation: place.version, version: place.incarnation },
  ],
  ['store', 'another store', otherStore, place],
]

/** Sealed bytes in a place that they were not made for. */
function movedVersions(): Named<VersionVector>[] {
  return elsewhere.flatMap(([what, comment, store, other]): Named<VersionVector>[] => [
    [
      `moved-row-${what}`,
      version(
        `The whole row is moved to ${comment}.`,
        refused(store === storeId ? 'data-key' : 'keyring-entry'),
        { storeId: store, place: other },
      ),
    ],
    [
      `moved-value-${what}`,
      version(
        `The value alone, under the right data key, was sealed for ${comment}.`,
        refused('value'),
        { sealed: sealedBy(dataKey, valueBinding(store, other), value) },
      ),
    ],
    [
      `moved-data-key-${what}`,
      version(
        `The data key, under the right entry, was wrapped for ${comment}.`,
        refused('data-key'),
        {
          wrappedKey: sealedBy(wrappingKey, dataKeyBinding(store, other), dataKeyBytes),
        },
      ),
    ],
  ])
}

/** Right places, wrong keys or purposes. */
function forgedVersions(): Named<VersionVector>[] {
  const otherKey = createSecretKey(keyBytes('another key'))
  const short = sealedBy(wrappingKey, dataKeyBinding(storeId, place), dataKeyBytes.subarray(0, 16))
  return [
    [
      'value-other-key',
      version('The value is sealed under another data key.', refused('value'), {
        sealed: sealedBy(otherKey, valueBinding(storeId, place), value),
      }),
    ],
    [
      'value-other-purpose',
      version('The value is sealed with the purpose of a data key.', refused('value'), {
        sealed: sealedBy(dataKey, dataKeyBinding(storeId, place), value),
      }),
    ],
    [
      'data-key-other-key',
      version('The data key is wrapped under another key.', refused('data-key'), {
        wrappedKey: sealedBy(otherKey, dataKeyBinding(storeId, place), dataKeyBytes),
      }),
    ],
    [
      'data-key-other-entry',
      version('The row names another entry than the one that wraps.', refused('data-key'), {
        keyId: 1,
      }),
    ],
    [
      'data-key-unknown-entry',
      version(
        'The row names an entry that is not in the keyring.',
        refused('data-key', 'unknown-entry'),
        { keyId: 3 },
      ),
    ],
    [
      'data-key-other-purpose',
      version('The data key is wrapped with the purpose of a value.', refused('data-key'), {
        wrappedKey: sealedBy(wrappingKey, valueBinding(storeId, place), dataKeyBytes),
      }),
    ],
    [
      'data-key-underived',
      version("The data key is wrapped under the entry's key itself.", refused('data-key'), {
        wrappedKey: sealedBy(
          createSecretKey(entryBytes[1]),
          dataKeyBinding(storeId, place),
          dataKeyBytes,
        ),
      }),
    ],
    [
      'data-key-16-bytes',
      version('The data key has 16 bytes.', refused('data-key', 'length'), {
        wrappedKey: short,
      }),
    ],
  ]
}
