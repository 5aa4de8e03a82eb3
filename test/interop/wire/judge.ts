/** Sends requests to setec and to Sotto and fails where they differ without an intended difference. */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import assert from 'node:assert/strict'
import type { RawAnswer, RawRequest } from '../raw.ts'
import { explain, explainStored, type Intended } from './differences.ts'
import { type Answers, brief, type Contents, type Pair, type Side, sides } from './pair.ts'

/** The secret that requests are about: version 1 was deleted, 2 is active. */
export const arranged = { active: 2, values: { 2: base64('two'), 3: base64('three') } }

/** Judges answers by setec's. */
export class Judge {
  /** The intended differences that were met. */
  readonly met = new Set<Intended>()
  readonly #pair: Pair
  #names = 0
  /** The secret that the last request left on both servers as it was arranged. */
  #left: string | undefined

  constructor(pair: Pair) {
    this.#pair = pair
  }

  /** A name that no request was about yet, nor is likely to be by an edit of another name. */
  freshName(): string {
    return createHash('sha256')
      .update(String(this.#names++))
      .digest('hex')
      .slice(0, 16)
  }

  /** Makes the secret `name` on both servers as `arranged` tells. */
  async arrange(name: string): Promise<void> {
    const steps: [string, object][] = [
      ...['one', 'two', 'three'].map((value): [string, object] => [
        'put',
        { Value: base64(value) },
      ]),
      ['activate', { Version: 2 }],
      ['delete-version', { Version: 1 }],
    ]
    const prepare = async (side: Side) => {
      for (const [method, request] of steps) {
        const answer = await this.#pair.call(side, method, { Name: name, ...request })
        assert.equal(answer.status, 200, `${method} on ${side}: ${answer.body}`)
      }
    }
    await Promise.all(sides.map(prepare))
  }

  /** Sends a request that changes nothing. */
  async read(request: RawRequest): Promise<void> {
    this.#compare(request, await this.#pair.ask(request))
  }

  /**
   * Sends the request that `build` makes about a secret, which is arranged. No other secret is there, before or
   * after. A secret that both servers left as it was serves the next request too.
   */
  async change(build: (name: string) => RawRequest): Promise<void> {
    const name = this.#left ?? this.freshName()
    if (this.#left === undefined) await this.arrange(name)
    this.#left = undefined
    const request = build(name)
    const asked = this.#pair.ask(request)
    await asked.catch(() => {})
    const found = await this.#contents()
    if (found.every((contents) => isDeepStrictEqual(contents, { [name]: arranged }))) {
      this.#left = name
    } else await this.#delete(found)
    const [setec, sotto] = found
    const answers = await asked
    const difference = this.#compare(request, answers)
    if (answers.sotto.status !== 200) assert.deepEqual(sotto, { [name]: arranged })
    if (difference || isDeepStrictEqual(sotto, setec)) return
    const stored = explainStored(request)
    if (stored) this.met.add(stored)
    else assert.deepEqual(sotto, setec)
  }

  /** Deletes every secret of both servers, and resolves with what they were. */
  async clear(): Promise<Contents[]> {
    this.#left = undefined
    const found = await this.#contents()
    await this.#delete(found)
    return found
  }

  /** What both hold, setec first. */
  #contents(): Promise<Contents[]> {
    return Promise.all(sides.map((side) => this.#pair.contents(side)))
  }

  async #delete(found: readonly Contents[]): Promise<void> {
    const remove = async (side: Side, contents: Contents = {}): Promise<void> => {
      for (const Name of Object.keys(contents)) await this.#pair.call(side, 'delete', { Name })
    }
    await Promise.all(sides.map((side, at) => remove(side, found[at])))
  }

  #compare(request: RawRequest, answers: Answers): Intended | undefined {
    assert.equal(answers.sotto.headers.get('cache-control'), 'no-store')
    const [setec, sotto] = [compared(answers.setec), compared(answers.sotto)]
    if (setec === sotto) return undefined
    const difference = explain(request, answers)
    const text = Buffer.from(request.body).toString('utf8')
    if (difference) this.met.add(difference)
    else
      assert.equal(
        sotto,
        setec,
        `Sotto says\n  ${sotto}\nand setec says\n  ${setec}\nto\n  ${text.slice(0, 500)}`,
      )
    return difference
  }
}

/** The part of an answer that is compared. */
function compared(answer: RawAnswer): string {
  return `${brief(answer)} (${answer.headers.get('content-type') ?? 'no type'})`
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
