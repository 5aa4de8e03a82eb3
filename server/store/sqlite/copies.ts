/** Copies of what a store is given: the caller may change its bytes, and memory that moves to a thread is gone here. */
import type { Orphan, SavedBackend, SealedVersion } from '../contract.ts'

/** A version with bytes of its own. */
export function copyOfVersion(given: SealedVersion): SealedVersion {
  const { version, keyId, wrappedKey, sealed, backend } = given
  return {
    version,
    keyId,
    wrappedKey: new Uint8Array(wrappedKey),
    sealed: new Uint8Array(sealed),
    ...(backend !== undefined && { backend }),
  }
}

/** A backend with bytes of its own. */
export function copyOfSaved({ backend, expected }: SavedBackend): SavedBackend {
  const { id, name, type, description, isDefault, config, createdAt, mac } = backend
  const copy = { id, name, type, description, isDefault, config, createdAt }
  return {
    backend: { ...copy, mac: new Uint8Array(mac) },
    expected: expected && new Uint8Array(expected),
  }
}

/** A place without whatever else the object has. */
export function copyOfPlace({ backend, name, incarnation, version }: Orphan): Orphan {
  return { backend, name, incarnation, version }
}
