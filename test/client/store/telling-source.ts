/** A server that a test plays: in memory, with a watch, and with each of the ways in which one fails. */
import { SottoError } from '../../../client/api/errors.ts'
import type { SecretValue } from '../../../client/api/types.ts'
import type { Got, Held, Wanted } from '../../../client/client.ts'
import type { Source } from '../../../client/store/source.ts'
import type { Change, WatchEvent } from '../../../client/watch.ts'

/** A watch that is open. */
interface Stream {
  /** What the client has, as far as the server knows; -1: it was told that it may not. */
  readonly known: Map<string, number>
  readonly send: (event: WatchEvent) => void
  readonly end: (error?: Error) => void
}

/** A secret and its versions, the first of them number 1. */
interface Secret {
  readonly values: string[]
  /** What was active from which revision on; 0: nothing. */
  readonly history: { readonly from: number; readonly version: number }[]
}

export const lost: SottoError = new SottoError(
  'unreachable',
  'Cannot watch: the connection broke off',
)
const down = new SottoError('unreachable', 'Cannot get: nothing is listening there')

/** The server, and what it was asked. */
export class TellingSource implements Source {
  readonly server = 'memory:'
  readonly asked: string[] = []
  readonly streams = new Set<Stream>()
  branch = 'b'.repeat(16)
  revision = 1
  /** How far the answers are, where that is less. */
  lag = 0
  isDown = false
  /** What a watch is answered with. */
  watchFault: Error | undefined
  /** Whether changes are told at once; or else when `flush` is called. */
  tellsAtOnce = true
  /** Answers wait for this. */
  gate: Promise<void> = Promise.resolve()
  watchOnce?: NonNullable<Source['watchOnce']>
  readonly denied = new Set<string>()
  readonly #secrets = new Map<string, Secret>()

  /** The number of the version that was active at a revision, or is now; 0 where there was none. */
  active(name: string, revision: number = this.revision): number {
    const since = this.#secrets.get(name)?.history.findLast(({ from }) => from <= revision)
    return since?.version ?? 0
  }

  versions(name: string): number {
    return this.#secrets.get(name)?.values.length ?? 0
  }

  /** Adds a version and activates it. */
  put(name: string, value: string): void {
    const secret = this.#secrets.get(name) ?? { values: [], history: [] }
    this.#secrets.set(name, secret)
    this.activate(name, secret.values.push(value))
  }

  activate(name: string, version: number): void {
    this.revision += 1
    this.#secrets.get(name)?.history.push({ from: this.revision, version })
    if (this.tellsAtOnce) this.flush()
  }

  /** The numbers of its versions are not used again. */
  delete(name: string): void {
    this.activate(name, 0)
  }

  allow(name: string, isAllowed: boolean): void {
    if (isAllowed) this.denied.delete(name)
    else this.denied.add(name)
    if (this.tellsAtOnce) this.flush()
  }

  /** Becomes another branch, at its first revision, where a number that was given has another value. */
  restore(name: string, value: string): void {
    const version = this.active(name)
    const values = [...(this.#secrets.get(name)?.values ?? [])]
    values[version - 1] = value
    this.#secrets.set(name, { values, history: [{ from: 1, version }] })
    this.branch = 'c'.repeat(16)
    this.revision = 1
  }

  /** Tells each stream what differs from what it knows. */
  flush(): void {
    for (const stream of this.streams) this.#tell(stream)
  }

  /** Ends every stream. */
  cut(error: Error | undefined = lost): void {
    for (const { end } of this.streams) end(error)
    this.streams.clear()
  }

  /** Tells every stream that it ends, and ends it. */
  bye(reason: string): void {
    for (const { send, end } of this.streams) {
      send({ event: 'bye', reason })
      end()
    }
    this.streams.clear()
  }

  async get(name: string, { revision }: Options = {}): Promise<SecretValue> {
    this.asked.push(`get ${name}`)
    return this.#answer(revision, () => this.#valueOf(name))
  }

  async getIfChanged(
    name: string,
    held: number,
    { revision }: Options = {},
  ): Promise<SecretValue | undefined> {
    this.asked.push(`getIfChanged ${name} ${held}`)
    return this.#answer(revision, () => {
      const value = this.#valueOf(name)
      return value.Version === held ? undefined : value
    })
  }

  async getMany(wanted: readonly Wanted[], { revision }: Options = {}): Promise<Got[]> {
    this.asked.push(
      `getMany ${wanted.map(({ Name, Version }) => `${Name} ${Version ?? 0}`).join()}`,
    )
    return this.#answer(revision, () =>
      wanted.map(({ Name, Version }): Got => {
        try {
          const value = this.#valueOf(Name)
          if (value.Version === Version) return { Name, Unchanged: true, Version }
          return { Name, ...value }
        } catch (error) {
          return { Name, Error: (error as SottoError).code }
        }
      }),
    )
  }

  async *watch(held: Held, { signal }: Options = {}): AsyncGenerator<WatchEvent, void, undefined> {
    this.asked.push(`watch ${[...held].map(([name, version]) => `${name} ${version}`).join()}`)
    if (this.isDown) throw down
    if (this.watchFault) throw this.watchFault
    const events: WatchEvent[] = []
    let ended: { readonly error: Error | undefined } | undefined
    let wake = (): void => {}
    const stream: Stream = {
      known: new Map(held),
      send: (event) => {
        events.push(event)
        wake()
      },
      end: (error) => {
        ended = { error }
        wake()
      },
    }
    const abort = (): void => stream.end(signal?.reason as Error)
    signal?.addEventListener('abort', abort)
    this.streams.add(stream)
    this.#tell(stream, true)
    try {
      for (;;) {
        const event = events.shift()
        if (event) yield event
        else if (ended?.error) throw ended.error
        else if (ended) return
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      this.streams.delete(stream)
      signal?.removeEventListener('abort', abort)
    }
  }

  async #answer<T>(revision: Options['revision'], act: () => T): Promise<T> {
    if (this.isDown) throw down
    const at = this.#at(this.lag)
    let result: T | undefined
    let fault: Error | undefined
    try {
      result = act()
    } catch (error) {
      fault = error as Error
    }
    await this.gate
    if (this.isDown) throw down
    if (fault) throw fault
    revision?.(at)
    return result as T
  }

  #at(lag = 0): string {
    return `${this.branch}.${this.revision - lag}`
  }

  #tell({ known, send }: Stream, isFirst = false): void {
    const changes: Change[] = []
    const Revision = this.revision
    for (const [Name, version] of known) {
      const now = this.denied.has(Name) ? -1 : this.active(Name)
      if (now === version) continue
      known.set(Name, now)
      changes.push(now === -1 ? { Name, Denied: true, Revision } : { Name, Version: now, Revision })
    }
    if (changes.length === 0 && !isFirst) return
    for (const change of changes) send({ event: 'change', change, at: this.#at() })
    send({ event: 'synced', revision: Revision, at: this.#at() })
  }

  #valueOf(name: string): SecretValue {
    if (this.denied.has(name)) throw new SottoError('denied', `Cannot get "${name}": denied`)
    const Version = this.active(name, this.revision - this.lag)
    const value = this.#secrets.get(name)?.values[Version - 1]
    if (value === undefined) throw new SottoError('not_found', `Cannot get "${name}": not found`)
    return { Value: Buffer.from(value), Version }
  }
}

interface Options {
  readonly signal?: AbortSignal
  readonly revision?: (at: string) => void
}
