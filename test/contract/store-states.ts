/**
 * States of secrets as the service computes them, for tests of stores: the MAC is a plain hash, which
 * is as good as any other bytes to a store.
 */
import { createHash } from 'node:crypto'
import type { Principal } from '../../client/api/types.ts'
import type {
  Change,
  SealedVersion,
  SecretRow,
  SecretState,
  StoreSeed,
} from '../../server/store/contract.ts'

/** What stores under test are made with: two keys, so that versions can differ in theirs. */
export const seed: StoreSeed = {
  identity: {
    id: '0123456789abcdef0123456789abcdef',
    development: false,
    createdAt: '2026-01-02T03:04:05.678Z',
    branch: 'b0b1b2b3b4b5b6b7',
  },
  keys: [
    { id: 1, createdAt: '2026-01-02T03:04:05.678Z', state: 'retiring', sealed: bytes('key 1') },
    { id: 2, createdAt: '2026-01-03T03:04:05.678Z', state: 'active', sealed: bytes('key 2') },
  ],
  wraps: [
    {
      provider: 'local',
      fingerprint: 'f-local',
      createdAt: '2026-01-02T03:04:05.678Z',
      wrapped: bytes('wrapped by local'),
    },
    {
      provider: 'age',
      fingerprint: 'f-age',
      createdAt: '2026-01-02T03:04:05.678Z',
      wrapped: bytes('wrapped by age'),
    },
  ],
}

export const alice: Principal = {
  hostname: 'laptop',
  ip: '100.64.0.1',
  user: 'alice@example.com',
}

export const app: Principal = { hostname: 'app-1', ip: '100.64.0.2', tags: ['tag:app', 'tag:eu'] }

/** Bytes that tell what they stand for. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** A sealed version whose bytes tell its number. */
export function sealedVersion(version: number, text = `value ${version}`): SealedVersion {
  return {
    version,
    keyId: (version % 2) + 1,
    wrappedKey: bytes(`wrapped ${text}`),
    sealed: bytes(`sealed ${text}`),
  }
}

/** `state` with its MAC. */
export function withMac(state: SecretState): SecretRow {
  const { name, incarnation, active, highest, versions, removed, settings = [] } = state
  const covered = JSON.stringify([
    name,
    incarnation,
    active,
    highest,
    versions,
    removed,
    ...settings,
  ])
  return { ...state, mac: new Uint8Array(createHash('sha256').update(covered).digest()) }
}

/** After `version` (default: one past the highest) was added; the first of a secret is active. */
export function afterAppend(
  name: string,
  row: SecretRow | undefined,
  version: number = (row?.highest ?? 0) + 1,
  activate = false,
): SecretRow {
  const isNew = !row || row.active === 0
  return withMac({
    name,
    incarnation: (row?.incarnation ?? 0) + (isNew ? 1 : 0),
    active: isNew || activate ? version : row.active,
    highest: Math.max(row?.highest ?? 0, version),
    versions: ascending([...(row?.versions ?? []), version]),
    removed: row?.removed ?? [],
  })
}

export function afterActivate(row: SecretRow, version: number): SecretRow {
  return withMac({ ...row, active: version })
}

export function afterRemoveVersion(row: SecretRow, version: number): SecretRow {
  return withMac({
    ...row,
    versions: row.versions.filter((other) => other !== version),
    removed: ascending([...row.removed, version]),
  })
}

export function afterRemove(row: SecretRow): SecretRow {
  const removed = ascending([...row.removed, ...row.versions])
  return withMac({ ...row, active: 0, versions: [], removed })
}

/** The change from `row` to `next`, of which the audit record `intent` tells. */
export function changeTo(
  intent: number,
  row: SecretRow | undefined,
  next: SecretRow,
  by: Principal = alice,
): Change {
  return {
    intent: { id: intent, hash: hashOf(intent) },
    by,
    at: timeOf(intent),
    expected: row?.mac ?? null,
    next,
  }
}

export function hashOf(intent: number): string {
  return intent.toString(16).padStart(64, '0')
}

export function timeOf(intent: number): string {
  return new Date(Date.UTC(2026, 1, 1) + intent).toISOString()
}

function ascending(numbers: readonly number[]): number[] {
  return numbers.toSorted((a, b) => a - b)
}
