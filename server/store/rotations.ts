/** What a store keeps of rotations: how each is set up, and how far its run is. */
import type { BackendChange } from './backends.ts'

/** A rotation: what makes new versions of a secret, one run after another. */
export interface StoredRotation {
  /** 1 or more, and never given again. */
  readonly id: number
  readonly name: string
  /** What it rotates and how, as JSON. Holds no credential. */
  readonly config: string
  /** How far its run is, as JSON. Holds no credential. */
  readonly state: string
  /** UTC. */
  readonly createdAt: string
  /** Covers all of the above; computed by the writer. */
  readonly mac: Uint8Array
}

/** A rotation to be stored, and the MAC of the row that it replaces; null for a new one. */
export interface SavedRotation {
  readonly rotation: StoredRotation
  readonly expected: Uint8Array | null
}

/** The verbs of a store about rotations, as the contract says. */
export interface RotationStore {
  /** Every rotation in the order of their ids, and the id that the next one gets. */
  rotations(): Promise<{ rotations: StoredRotation[]; nextId: number }>

  /**
   * Stores a rotation. Resolves with the new revision. Rejects with `conflict` when the row is not as expected, the
   * name is another one's, or the id of a new one was given before.
   */
  saveRotation(change: BackendChange, saved: SavedRotation): Promise<number>

  /** Erases a rotation. Resolves with the new revision. Rejects with `conflict` when it is not as expected. */
  removeRotation(change: BackendChange, id: number, expected: Uint8Array): Promise<number>
}
