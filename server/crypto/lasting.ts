/** Keys that outlive the root key, sealed under it by purpose and number: the newest makes, older ones only verify. */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { lastingBinding } from './binding.ts'
import { deriveKey, takeKey, type Use } from './derive.ts'
import { KEY_BYTES, openKey, type RandomSource, seal } from './envelope.ts'

/** What a lasting key makes. `mirror`: the fingerprints of what mirrors show. `audit`: the MACs of audit batches. */
export type LastingPurpose = 'value-fingerprint' | 'mirror' | 'audit'

/** A lasting key as a store keeps it. */
export interface SealedLasting {
  readonly purpose: string
  /** That of the root key which it was made with. */
  readonly number: number
  /** UTC. */
  readonly createdAt: string
  readonly sealed: Uint8Array
}

/** A lasting key, open. */
export interface LastingKey {
  readonly number: number
  readonly key: KeyObject
}

/** Which use of the root key a key is where none is stored: in a store that earlier releases made. */
const derivedAs: Readonly<Record<LastingPurpose, Use>> = {
  'value-fingerprint': 'value-fingerprint',
  mirror: 'state',
  audit: 'audit',
}

export const lastingPurposes = Object.keys(derivedAs) as readonly LastingPurpose[]

/** The lasting keys of one store. */
export class LastingKeys {
  readonly #all: Readonly<Record<LastingPurpose, readonly LastingKey[]>>

  /** Opens `stored`, sealed under the root key of that number. Throws `store_damaged` where one does not open. */
  constructor(
    storeId: string,
    root: KeyObject,
    rootNumber: number,
    stored: readonly SealedLasting[],
  ) {
    const opener = deriveKey(root, storeId, 'lasting-key')
    const keysFor = (purpose: LastingPurpose): LastingKey[] => {
      const found = stored
        .filter((each) => each.purpose === purpose)
        .map((each): LastingKey => {
          const raw = openKey(opener, lastingBinding(storeId, each), each.sealed)
          return { number: each.number, key: takeKey(raw) }
        })
        .toSorted((one, other) => other.number - one.number)
      if (found[0]?.number === rootNumber) return found
      return [{ number: rootNumber, key: deriveKey(root, storeId, derivedAs[purpose]) }, ...found]
    }
    this.#all = {
      'value-fingerprint': keysFor('value-fingerprint'),
      mirror: keysFor('mirror'),
      audit: keysFor('audit'),
    }
  }

  /** The one that makes. */
  newest(purpose: LastingPurpose): LastingKey {
    return this.#all[purpose][0] as LastingKey
  }

  /** The one of that number, if there is one. */
  find(purpose: LastingPurpose, number: number): LastingKey | undefined {
    return this.#all[purpose].find((each) => each.number === number)
  }

  /** Every one, the newest first. */
  all(purpose: LastingPurpose): readonly LastingKey[] {
    return this.#all[purpose]
  }
}

/** Seals the lasting keys of one store under a root key. */
export class LastingSealer {
  readonly #storeId: string
  readonly #key: KeyObject
  readonly #random: RandomSource

  constructor(storeId: string, root: KeyObject, random: RandomSource) {
    this.#storeId = storeId
    this.#key = deriveKey(root, storeId, 'lasting-key')
    this.#random = random
  }

  seal(head: Omit<SealedLasting, 'sealed'>, key: KeyObject): SealedLasting {
    const raw = key.export()
    const sealed = seal(this.#key, lastingBinding(this.#storeId, head), raw, this.#random)
    raw.fill(0)
    return { ...head, sealed }
  }

  /** A new random key of that number for every purpose. */
  make(number: number, createdAt: string): SealedLasting[] {
    return lastingPurposes.map((purpose) => {
      const raw = this.#random(KEY_BYTES)
      const key = createSecretKey(raw)
      raw.fill(0)
      return this.seal({ purpose, number, createdAt }, key)
    })
  }
}
