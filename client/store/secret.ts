/** A secret that a store holds, and the handle by which a program reads it. */
import type { SottoError } from '../api/errors.ts'
import type { SecretValue } from '../api/types.ts'
import type { Position } from './position.ts'

/** What a program reads a secret by. It never waits: it gives what the store holds. */
export interface Secret {
  readonly name: string
  /** Of the version that the store holds. */
  readonly version: number
  /** When the store got this version; of one from a cache, when that was opened. */
  readonly since: Date
  /**
   * A copy of the value. Throws `denied` for a secret that was looked up, and not declared, once the server refused it:
   * a declared one keeps its value.
   */
  bytes(): Uint8Array
  /** The value as text. What is not UTF-8 becomes U+FFFD: use `bytes` for what is not text. Throws as `bytes`. */
  text(): string
}

/** What a store knows of one secret. */
export class HeldSecret {
  readonly name: string
  /** Whether the program named it when it opened the store. */
  readonly declared: boolean
  value: SecretValue
  since: Date
  lastAccess: Date
  /** How far the server was when it gave the value, or said that it is the active one; undefined where nobody knows. */
  at: Position | undefined
  /** When the server last said that this version is active; undefined where nobody knows. */
  checked: Date | undefined
  /** What the server last said instead of a value, while that stands. */
  refusal: SottoError | undefined = undefined
  /** Whether the program has the handle: it is then never forgotten. */
  isUsed = false
  readonly handle: Secret
  #changed = Promise.withResolvers<void>()

  constructor(
    { name, declared, value }: { name: string; declared: boolean; value: SecretValue },
    now: () => Date,
    {
      at,
      ...times
    }: {
      readonly lastAccess?: Date
      readonly checked?: Date
      readonly at?: Position | undefined
    } = {},
  ) {
    this.name = name
    this.declared = declared
    this.value = value
    this.since = now()
    this.lastAccess = times.lastAccess ?? this.since
    this.checked = times.checked
    this.at = at
    this.handle = handleOf(this, now)
  }

  /** Resolves when another version is held, or none. */
  get changed(): Promise<void> {
    return this.#changed.promise
  }

  /** Wakes those who wait for a change. */
  wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}

function handleOf(held: HeldSecret, now: () => Date): Secret {
  const current = (): Uint8Array => {
    if (!held.declared && held.refusal?.code === 'denied') throw held.refusal
    held.lastAccess = now()
    return held.value.Value
  }
  return Object.freeze({
    name: held.name,
    get version() {
      return held.value.Version
    },
    get since() {
      return held.since
    },
    bytes: () => Uint8Array.from(current()),
    text: () => new TextDecoder('utf-8', { ignoreBOM: true }).decode(current()),
  })
}
