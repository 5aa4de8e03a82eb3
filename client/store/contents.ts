/** What a store holds, and how the answers of a server change it. */
import type { ErrorCode, SottoError } from '../api/errors.ts'
import type { SecretValue } from '../api/types.ts'
import type { CachedSecret } from './cache.ts'
import type { Report } from './options.ts'
import { isOlder, type Position } from './position.ts'
import { HeldSecret } from './secret.ts'

/** The secrets of one store. */
export class Contents {
  readonly #held = new Map<string, HeldSecret>()
  readonly #clock: () => Date
  readonly #report: Report
  /** Of the store that the values are from. */
  #branch: string | undefined
  /** Whether something changed that a cache should have. */
  isChanged = false

  constructor(clock: () => Date, report: Report) {
    this.#clock = clock
    this.#report = report
  }

  /** The secret of that name; undefined where it is not held. */
  find(name: string): HeldSecret | undefined {
    return this.#held.get(name)
  }

  /** All that are held, as they are now. */
  all(): HeldSecret[] {
    return [...this.#held.values()]
  }

  /** The names that the server refuses, or those that it answers with `code` for. */
  refused(code?: ErrorCode): string[] {
    return this.all()
      .filter(({ refusal }) => refusal && refusal.code === (code ?? refusal.code))
      .map(({ name }) => name)
  }

  /** Holds what the server just gave. */
  add(name: string, declared: boolean, value: SecretValue, at?: Position): HeldSecret {
    this.#noteBranch(at)
    const times = { checked: this.#clock(), at }
    const held = new HeldSecret({ name, declared, value }, this.#clock, times)
    this.#held.set(name, held)
    this.isChanged = true
    return held
  }

  /** Holds what a cache had. */
  restore({ name, value, lastAccess, checked, branch }: CachedSecret, declared: boolean): void {
    const at = branch === undefined ? undefined : { branch, revision: 0 }
    this.#noteBranch(at)
    const times = { lastAccess: new Date(lastAccess * 1000), at }
    const since = checked === undefined ? {} : { checked: new Date(checked * 1000) }
    const held = new HeldSecret({ name, declared, value }, this.#clock, { ...times, ...since })
    this.#held.set(name, held)
  }

  /** Holds a secret no more. */
  drop(name: string): void {
    this.#held.delete(name)
  }

  /**
   * The server answered, and was as far as `at`: `value` is what is active, undefined stands for the one that is held.
   * An answer that is older than the one before does not count.
   */
  take(held: HeldSecret, value: SecretValue | undefined, at: Position | undefined): void {
    if (isOlder(at, held.at)) return
    this.#noteBranch(at)
    const { name } = held
    held.checked = this.#clock()
    if (held.at?.branch !== at?.branch) this.isChanged = true
    held.at = at
    if (held.refusal) {
      held.refusal = undefined
      this.isChanged = true
      this.#report({ kind: 'allowed', name })
    }
    if (!value || isSame(value, held.value)) return
    held.value = value
    held.since = this.#clock()
    this.isChanged = true
    held.wake()
    this.#report({ kind: 'changed', name, version: value.Version })
  }

  /** The server refuses a secret, or has it no more. One that was looked up is not held any more once it is refused. */
  refuse(held: HeldSecret, error: SottoError): void {
    const isNew = held.refusal?.code !== error.code
    const isDenied = error.code === 'denied'
    held.refusal = error
    if (isDenied && !held.declared) {
      this.#held.delete(held.name)
      held.wake()
    }
    if (!isNew) return
    this.isChanged = true
    this.#report({ kind: isDenied ? 'denied' : 'missing', name: held.name, error })
  }

  /** The server told of all changes: what it did not refuse is active. */
  confirm(): void {
    const now = this.#clock()
    for (const held of this.#held.values()) if (!held.refusal) held.checked = now
  }

  /** Forgets what came from the cache, and nobody declared or used since `oldest`, in milliseconds since 1970. */
  forgetUnused(oldest: number): void {
    for (const { name, declared, isUsed, lastAccess } of this.all()) {
      if (declared || isUsed || lastAccess.getTime() >= oldest) continue
      this.#held.delete(name)
      this.isChanged = true
      this.#report({ kind: 'expired', name })
    }
  }

  #noteBranch(at: Position | undefined): void {
    if (!at || at.branch === this.#branch) return
    const { branch } = at
    if (this.#branch !== undefined) this.#report({ kind: 'branch', before: this.#branch, branch })
    this.#branch = branch
  }

  /** What a cache is to have: all but what the server refuses. */
  forCache(): CachedSecret[] {
    return this.all()
      .filter(({ refusal }) => refusal?.code !== 'denied')
      .map(({ name, value, lastAccess, checked, at }) => ({
        name,
        value,
        lastAccess: seconds(lastAccess),
        checked: checked && seconds(checked),
        branch: at?.branch,
      }))
  }
}

/** The bytes tell, too: another branch, or another server, gives a number to another value. */
function isSame(one: SecretValue, other: SecretValue): boolean {
  return one.Version === other.Version && Buffer.compare(one.Value, other.Value) === 0
}

function seconds(time: Date): number {
  return Math.max(0, Math.floor(time.getTime() / 1000))
}
