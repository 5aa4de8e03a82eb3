/** Keyrings, wrapped root keys and key files, right and wrong. */
import { createSecretKey } from 'node:crypto'
import { type EntryHead, entryBinding, rootKeyBinding } from '../../../server/crypto/binding.ts'
import { deriveKey, fingerprint } from '../../../server/crypto/derive.ts'
import {
  alterations,
  entries,
  entryBytes,
  entrySealingKey,
  heads,
  keyBytes,
  type Named,
  otherStore,
  refused,
  rootBytes,
  rootKey,
  sealedBy,
  storeId,
  version,
} from './base.ts'
import type {
  KeyFileVector,
  Reason,
  RootKeyVector,
  VectorEntry,
  VersionVector,
} from './crypto-vector.ts'

/** Keyrings that must not be used. */
export function keyrings(): Named<VersionVector>[] {
  const wrong = refused('keyring-entry')
  const [old, active] = entries
  return [
    [
      'keyring-other-root-key',
      version('The root key is another one.', wrong, {
        rootKey: keyBytes('another key').toString('hex'),
      }),
    ],
    [
      'keyring-entry-underived',
      version(
        'The entry is sealed under the root key itself.',
        wrong,
        ring(old, resealed(heads[1], rootKey)),
      ),
    ],
    [
      'keyring-entry-other-store',
      version(
        'The entry, under the right key, was sealed for another store.',
        wrong,
        ring(old, resealed(heads[1], entrySealingKey, otherStore)),
      ),
    ],
    [
      'keyring-entry-other-purpose',
      version(
        'The entry is sealed with the purpose of a root key.',
        wrong,
        ring(old, {
          ...active,
          sealed: sealedBy(entrySealingKey, rootKeyBinding(storeId), entryBytes[1]),
        }),
      ),
    ],
    [
      'keyring-entry-other-id',
      version('The entry has the id of another.', wrong, ring(old, { ...active, id: 3 })),
    ],
    [
      'keyring-entry-other-date',
      version(
        'The entry says that it was made at another time.',
        wrong,
        ring(old, { ...active, createdAt: '2026-02-03T04:05:06.790Z' }),
      ),
    ],
    [
      'keyring-entry-other-state',
      version(
        'The states of the two entries are exchanged.',
        wrong,
        ring({ ...old, state: 'active' }, { ...active, state: 'retiring' }),
      ),
    ],
    [
      'keyring-entries-exchanged',
      version(
        'The sealed keys of the two entries are exchanged.',
        wrong,
        ring({ ...old, sealed: active.sealed }, { ...active, sealed: old.sealed }),
      ),
    ],
    [
      'keyring-empty',
      version('The keyring is empty.', refused('keyring', 'active-entries'), ring()),
    ],
    [
      'keyring-none-active',
      version('No entry is active.', refused('keyring', 'active-entries'), ring(old)),
    ],
    [
      'keyring-two-active',
      version(
        'Two entries are active.',
        refused('keyring', 'active-entries'),
        ring(active, resealed({ ...heads[1], id: 3 })),
      ),
    ],
    [
      'keyring-same-id',
      version(
        'Two entries have one id.',
        refused('keyring', 'same-id'),
        ring(active, resealed({ ...heads[0], id: 2 })),
      ),
    ],
  ]
}

function resealed(head: EntryHead, key = entrySealingKey, store = storeId): VectorEntry {
  return { ...head, sealed: sealedBy(key, entryBinding(store, head), entryBytes[1]) }
}

function ring(...keyring: VectorEntry[]): Partial<VersionVector> {
  return { keyring }
}

const localBytes = keyBytes('local key')
const localKey = createSecretKey(localBytes)

/** Root keys wrapped under a local key. */
export function rootKeys(): Named<RootKeyVector>[] {
  const key = deriveKey(localKey, storeId, 'root-key')
  const right = sealedBy(key, rootKeyBinding(storeId), rootBytes)
  const vector = (
    comment: string,
    because: Reason | undefined,
    changes: Partial<RootKeyVector> = {},
  ): RootKeyVector => ({
    comment,
    structure: 'root-key',
    expect: because === undefined ? 'ok' : refused('root-key', because),
    storeId,
    localKey: localBytes.toString('hex'),
    wrapped: right,
    ...(because === undefined ? { rootKey: rootBytes.toString('hex') } : {}),
    ...changes,
  })
  return [
    ['root-key-plain', vector('The plain case.', undefined)],
    ...alterations(right, true).map(
      ([name, comment, because, altered]): Named<RootKeyVector> => [
        `root-key-${name}`,
        vector(`The wrapped root key has ${comment}.`, because, { wrapped: altered }),
      ],
    ),
    [
      'root-key-moved-store',
      vector('The wrapped root key is moved to another store.', 'authentication', {
        storeId: otherStore,
      }),
    ],
    [
      'root-key-other-store',
      vector(
        'The root key, under the right key, was wrapped for another store.',
        'authentication',
        {
          wrapped: sealedBy(key, rootKeyBinding(otherStore), rootBytes),
        },
      ),
    ],
    [
      'root-key-other-key',
      vector('The local key is another one.', 'authentication', {
        localKey: keyBytes('another key').toString('hex'),
      }),
    ],
    [
      'root-key-other-purpose',
      vector('The root key is sealed with the purpose of a keyring entry.', 'authentication', {
        wrapped: sealedBy(key, entryBinding(storeId, heads[0]), rootBytes),
      }),
    ],
    [
      'root-key-underived',
      vector('The root key is sealed under the local key itself.', 'authentication', {
        wrapped: sealedBy(localKey, rootKeyBinding(storeId), rootBytes),
      }),
    ],
  ]
}

/** Key files. */
export function keyFiles(): Named<KeyFileVector>[] {
  const id = fingerprint(localKey, '')
  const key = localBytes.toString('base64')
  const file = `sotto local key 1\nfingerprint ${id}\nkey ${key}\n`
  const good = (comment: string, content: string): KeyFileVector => ({
    comment,
    structure: 'key-file',
    expect: 'ok',
    text: content,
    localKey: localBytes.toString('hex'),
    fingerprint: id,
  })
  const otherKey = keyBytes('another key').toString('base64')
  return [
    ['key-file-plain', good('The plain case.', file)],
    ['key-file-no-last-newline', good('The last newline is missing.', file.trimEnd())],
    ['key-file-empty', bad('The file is empty.', '')],
    ['key-file-other-format', bad('The format is another one.', file.replace('key 1', 'key 2'))],
    ['key-file-cut', bad('The file is cut short.', file.slice(0, -3))],
    ['key-file-longer', bad('Something follows the key.', `${file}\n`)],
    ['key-file-crlf', bad('The lines end as on Windows.', file.replaceAll('\n', '\r\n'))],
    ['key-file-no-fingerprint', bad('There is no fingerprint.', file.replace(/^finger.*\n/m, ''))],
    [
      'key-file-upper-case',
      bad('The fingerprint is in upper case.', file.replace(id, 'AB'.repeat(8))),
    ],
    [
      'key-file-stray-bits',
      bad(
        'The two bits after the last byte of the key are not zero.',
        file.replace(/.=$/m, strayBits),
      ),
    ],
    [
      'key-file-other-key',
      bad('The fingerprint is that of another key.', file.replace(key, otherKey), 'fingerprint'),
    ],
  ]
}

function bad(comment: string, text: string, because: Reason = 'malformed'): KeyFileVector {
  return { comment, structure: 'key-file', expect: refused('key-file', because), text }
}

/** The last base64 character before the padding with the lowest bit of the two unused ones set. */
function strayBits(end: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  return `${alphabet[alphabet.indexOf(end[0] as string) | 1]}=`
}
