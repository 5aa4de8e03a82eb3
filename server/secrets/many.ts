/** Several secrets in one call: every right is asked for first, and every record is on the disk before a value is opened. */
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import type { ManyRequest } from '../../client/api/many.ts'
import type { OpenableVersion, SecretCache } from '../catalog/cache.ts'
import type { Announced, Call, Gate, Pass } from '../gate/gate.ts'
import type { SecretRow } from '../store/contract.ts'
import type { Claims } from './secrets.ts'

/** Bytes that the values of one answer may have: what does not fit is got by itself. */
const MAX_BYTES = 8 * 1024 * 1024
/** Secrets that are looked up, or asked of a backend, at once. */
const AT_ONCE = 16

/** What is answered for one of the secrets. Who gets a value zeroes it after use. */
export type Item =
  | { readonly name: string; readonly value: Buffer; readonly version: number }
  | { readonly name: string; readonly unchanged: number }
  | { readonly name: string; readonly error: SottoError }

type Wanted = ManyRequest<'get-many'>['Secrets'][number]

/** A version that its caller may have. */
interface Found {
  readonly name: string
  readonly pass: Pass
  readonly row: SecretRow
  readonly sealed: OpenableVersion
  /** The version that the caller says it holds; 0: none. */
  readonly held: number
}

/** What several secrets are read with. */
export interface ManyParts {
  readonly cache: SecretCache
  readonly gate: Gate
  /** Told of versions that callers say they hold. */
  readonly claims?: Claims
}

/** Reads several secrets. */
export class ManySecrets {
  readonly #parts: ManyParts

  constructor(parts: ManyParts) {
    this.#parts = parts
  }

  /**
   * Each of the secrets, in order, as a `get` of it would answer. With `All` rejects with the first error, and no value
   * was opened for the caller. Rejects with `audit_unavailable`, and then nothing was opened. Needs `get` on each.
   */
  async get(call: Call, { Secrets, All }: ManyRequest<'get-many'>): Promise<Item[]> {
    const names = Secrets.map(({ Name }) => Name)
    const entered = await this.#parts.gate.enterEach(call, 'get', names, 'get-many')
    if (All) demandAll(entered)
    const looked = await inOrder(Secrets, async (wanted, at) => {
      const pass = entered[at] as Pass | SottoError
      if (pass instanceof SottoError) return { name: wanted.Name, error: pass }
      return this.#find(call, pass, wanted).catch((error: unknown) => failure(wanted.Name, error))
    })
    const fitting = await fit(looked)
    if (All) demandAll(fitting.map((each) => ('error' in each ? each.error : undefined)))
    return this.#open(fitting, All)
  }

  async #find(
    call: Call,
    pass: Pass,
    { Name: name, Version, UpdateIfChanged }: Wanted,
  ): Promise<Found | Item> {
    const conditional = UpdateIfChanged && Version !== 0
    const wanted = conditional ? 0 : Version
    const secret = await this.#parts.cache.read(name, wanted)
    const active = secret?.row.active ?? 0
    if (conditional && active > 0 && Version === active) {
      this.#parts.claims?.claimed(call, name, active)
      return { name, unchanged: active }
    }
    const sealed = active > 0 ? secret?.versions.get(wanted || active) : undefined
    if (secret && sealed) {
      return { name, pass, row: secret.row, sealed, held: conditional ? Version : 0 }
    }
    await pass.record('not-found', wanted || undefined)
    const what = wanted > 0 ? `version ${wanted} of ${quote(name)}` : quote(name)
    return failure(name, new SottoError('not_found', `There is no ${what}`))
  }

  /** Records all that is found in one write, and then opens it. */
  async #open(looked: readonly (Found | Item)[], all: boolean): Promise<Item[]> {
    const announced = await announce(looked)
    let bytes = 0
    let failed: SottoError | undefined
    const items = await inOrder(looked, async (each, at): Promise<Item> => {
      const announcement = announced[at]
      if (!('sealed' in each) || !announcement) return each as Item
      const { name, sealed } = each
      if (failed && all) {
        announcement.withdraw(failed.message)
        return failure(name, failed)
      }
      try {
        const value = await announcement.open()
        bytes += value.length
        if (bytes <= MAX_BYTES) return { name, value, version: sealed.version }
        value.fill(0)
        // Only a backend says how long its value is.
        const error = tooLarge(name)
        announcement.withdraw(error.message)
        throw error
      } catch (error) {
        failed ??= asSottoError(error)
        return failure(name, error)
      }
    })
    if (!failed || !all) return items
    for (const [at, item] of items.entries()) {
      if (!('value' in item)) continue
      item.value.fill(0)
      announced[at]?.withdraw('another secret of the request could not be opened')
    }
    throw failed
  }
}

/** Records what is found; rejects, and withdraws all of it, when one record cannot be written. */
async function announce(looked: readonly (Found | Item)[]): Promise<(Announced | undefined)[]> {
  const records = await Promise.allSettled(
    // In one turn, so that they share one write.
    looked.map(async (each) =>
      'sealed' in each ? each.pass.announce(each.row, each.sealed, each.held) : undefined,
    ),
  )
  const refused = records.find((each) => each.status === 'rejected')
  const announced = records.map((each) => (each.status === 'fulfilled' ? each.value : undefined))
  if (!refused) return announced
  const error = asSottoError(refused.reason)
  for (const each of announced) each?.withdraw(error.message)
  throw error
}

/** The same, without those whose values do not fit into the answer. */
function fit(looked: readonly (Found | Item)[]): Promise<(Found | Item)[]> {
  let bytes = 0
  return Promise.all(
    looked.map(async (each) => {
      if (!('sealed' in each) || each.sealed.backend !== undefined) return each
      bytes += each.sealed.sealed.length
      if (bytes <= MAX_BYTES) return each
      await each.pass.record('refused', each.sealed.version)
      return failure(each.name, tooLarge(each.name))
    }),
  )
}

function demandAll(results: readonly unknown[]): void {
  const error = results.find((each) => each instanceof SottoError)
  if (error) throw error
}

function failure(name: string, error: unknown): Item {
  return { name, error: asSottoError(error) }
}

function tooLarge(name: string): SottoError {
  return new SottoError(
    'too_large',
    `The values of one answer have ${MAX_BYTES} bytes at most, and ${quote(name)} does not fit`,
    { callerHint: 'Get it by itself.' },
  )
}

/** What `make` resolves with for each of `items`, a few at once. */
async function inOrder<T, U>(
  items: readonly T[],
  make: (item: T, at: number) => Promise<U>,
): Promise<U[]> {
  const made: U[] = []
  for (let from = 0; from < items.length; from += AT_ONCE) {
    const part = items.slice(from, from + AT_ONCE)
    made.push(...(await Promise.all(part.map((item, at) => make(item, from + at)))))
  }
  return made
}
