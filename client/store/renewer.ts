/** Asks a source for newer versions of what a store holds: of many in one call, where the source can. */
import { asSottoError, errorTable, quote, SottoError } from '../api/errors.ts'
import type { SecretValue } from '../api/types.ts'
import type { Got } from '../client.ts'
import type { Timers } from '../platform/timers.ts'
import { pause } from './aborted.ts'
import { atOnce } from './at-once.ts'
import { Backoff } from './backoff.ts'
import type { Contents } from './contents.ts'
import { isOlder, type Position, positionOf } from './position.ts'
import type { HeldSecret } from './secret.ts'
import type { Source } from './source.ts'

/** Secrets in one call. */
const AT_A_TIME = 256
/** How often a server is asked that is not as far as it said it was. */
const MAX_TRIES = 5

/** What a renewer is made of. */
export interface RenewerParts {
  readonly source: Source
  readonly contents: Contents
  /** How far the server said it was: an answer from before is not taken. */
  readonly told: () => Position | undefined
  readonly closed: AbortSignal
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random: () => number
}

/** What is asked of one secret. */
interface Question {
  readonly held: HeldSecret
  /** Whether it is for another version than the one that is held; or else for the active one, whichever that is. */
  readonly conditional: boolean
}

/** What a server says of one secret: another version, undefined where it is still the same one, or why neither. */
type Said = { readonly value: SecretValue | undefined } | { readonly error: SottoError }

/** Asks, and resolves with what was said of each. `revision` hears how far the server was. */
type Ask = (questions: readonly Question[], revision: (at: string) => void) => Promise<Said[]>

/** A value, and how far the server was when it gave it. */
export interface Given {
  readonly value: SecretValue
  readonly at: Position | undefined
}

/** Renews what is held. */
export class Renewer {
  readonly #parts: RenewerParts
  /** Whether the source takes questions for many. */
  #hasMany: boolean

  constructor(parts: RenewerParts) {
    this.#parts = parts
    this.#hasMany = parts.source.getMany !== undefined
  }

  /**
   * Asks for the active versions of `all`, and holds them. Resolves with what failed: with nothing, where the server
   * answered for each. A refusal is an answer.
   */
  async renew(all: readonly HeldSecret[]): Promise<readonly SottoError[]> {
    const failures: SottoError[] = []
    let rest = all
    try {
      while (this.#hasMany && rest.length > 0) {
        await this.#take(rest.slice(0, AT_A_TIME), this.#askMany, failures)
        rest = rest.slice(AT_A_TIME)
      }
    } catch (error) {
      const failure = asSottoError(error)
      if (failure.code !== 'no_such_method') return [...failures, failure]
      this.#hasMany = false
    }
    await atOnce(rest, async (held) => {
      // The others would fail as well, each after its time.
      if (failures.some(({ code }) => code === 'unreachable')) return
      await this.#take([held], this.#askEach, failures).catch((error: unknown) => {
        failures.push(asSottoError(error))
      })
    })
    return failures
  }

  /** The active version of a secret that is not held. Rejects as `Source.get`. */
  async get(name: string, signal: AbortSignal | undefined): Promise<Given> {
    const { closed, timers } = this.#parts
    const told = this.#parts.told()
    const backoff = this.#backoff()
    for (let tries = 1; ; tries++) {
      let at: Position | undefined
      const value = await this.#parts.source.get(name, {
        ...(signal && { signal }),
        revision: (text) => {
          at = positionOf(text)
        },
      })
      if (!isOlder(at, told)) return { value, at }
      if (tries === MAX_TRIES) throw rolledBack(this.#parts.source.server)
      await pause(timers, backoff.next(), closed)
    }
  }

  /** Asks until the answers are of now, and of what the values that are held are of. */
  async #take(some: readonly HeldSecret[], ask: Ask, failures: SottoError[]): Promise<void> {
    const { contents, told, closed, timers } = this.#parts
    const backoff = this.#backoff()
    let questions = some.map((held) => ({ held, conditional: this.#isComparable(held) }))
    for (let tries = 1; questions.length > 0; ) {
      let at: Position | undefined
      const said = await ask(questions, (text) => {
        at = positionOf(text)
      })
      if (isOlder(at, told())) {
        if (tries === MAX_TRIES) throw rolledBack(this.#parts.source.server)
        // It was on its way while more was told, most likely.
        if (tries++ > 1) await pause(timers, backoff.next(), closed)
        continue
      }
      const again: typeof questions = []
      for (const [index, answer] of said.entries()) {
        const { held } = questions[index] as Question
        if ('value' in answer) {
          // Another branch may have another value under the same number.
          const isOfAnother = !answer.value && held.at?.branch !== at?.branch
          if (isOfAnother) again.push({ held, conditional: false })
          else contents.take(held, answer.value, at)
        } else if (isRefusal(answer.error)) contents.refuse(held, answer.error)
        else failures.push(answer.error)
      }
      questions = again
    }
  }

  /** Whether the number of the version that is held tells the server which value that is. */
  #isComparable(held: HeldSecret): boolean {
    const told = this.#parts.told()
    return told === undefined || held.at?.branch === told.branch
  }

  #askMany: Ask = async (questions, revision) => {
    const wanted = questions.map(({ held: { name, value }, conditional }) => ({
      Name: name,
      ...(conditional && { Version: value.Version, UpdateIfChanged: true }),
    }))
    const options = { signal: this.#parts.closed, revision }
    const got = (await this.#parts.source.getMany?.(wanted, options)) ?? []
    const said = await Promise.all(
      questions.map(async (question, index) => {
        const one = got[index]
        // The answer had no room for it; alone it has.
        if (one?.Error === 'too_large') return this.#askEach([question], () => {})
        return [saidBy(one, question.held.name)]
      }),
    )
    return said.flat()
  }

  #askEach: Ask = (questions, revision) => {
    const { source, closed } = this.#parts
    const options = { signal: closed, revision }
    return Promise.all(
      questions.map(async ({ held: { name, value }, conditional }): Promise<Said> => {
        try {
          return {
            value: conditional
              ? await source.getIfChanged(name, value.Version, options)
              : await source.get(name, options),
          }
        } catch (error) {
          return { error: asSottoError(error) }
        }
      }),
    )
  }

  #backoff(): Backoff {
    return new Backoff(100, 2_000, this.#parts.random)
  }
}

/** The error of a server that is older than it was. */
export function rolledBack(server: string): SottoError {
  return new SottoError('rolled_back', `${server} answers from before what it told`, {
    hint: 'Its store may be an older copy. What is held stays until the server is as far again.',
  })
}

/** The error for a secret that has no active version. */
export function notFound(name: string): SottoError {
  return refusedWith('not_found', name)
}

/** The error for a secret that the caller may not get. */
export function denied(name: string): SottoError {
  return refusedWith('denied', name)
}

/** Whether an error is the server's answer to the question, rather than the lack of one. */
export function isRefusal({ code }: SottoError): boolean {
  return code === 'denied' || code === 'not_found'
}

function saidBy(got: Got | undefined, name: string): Said {
  if (got?.Name !== name) {
    const message = `Cannot get ${quote(name)}: the answer is about other secrets`
    return { error: new SottoError('bad_answer', message) }
  }
  if (got.Error !== undefined) return { error: refusedWith(got.Error, name) }
  if (got.Unchanged) return { value: undefined }
  return { value: { Value: got.Value, Version: got.Version } }
}

function refusedWith(code: keyof typeof errorTable, name: string): SottoError {
  return new SottoError(code, `Cannot get ${quote(name)}: ${errorTable[code].text}`)
}
