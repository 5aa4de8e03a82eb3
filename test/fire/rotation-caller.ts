/** One caller among several: it has a secret of its own, reads what is there from the beginning, and sees each answer. */
import type { Poster } from '../bench/load.ts'
import { Random } from './support-crash/random.ts'

/** Requests of a caller. */
export interface Laden {
  answered: number
  /** Requests that a kill cut off. */
  unanswered: number
}

/** The value of a version that is there from the beginning. */
export function filled(secret: number, version: number): string {
  return `value ${version} of secret ${secret}`
}

/** One caller. */
export class RotationCaller {
  readonly #name: string
  readonly #random: Random
  /** Versions that are known to be there, by number. */
  readonly #versions = new Map<number, string>()
  /** What a kill left open: a put that may have been committed, or a delete. */
  #doubt:
    | { readonly kind: 'put'; readonly value: string }
    | { readonly kind: 'delete'; readonly version: number }
    | undefined
  #active = 0
  #puts = 0
  #going = false
  #killed = false

  constructor(at: number, seed: number) {
    this.#name = `caller/${at}`
    this.#random = new Random(seed)
  }

  /** Asks one thing after another until `stop` or a kill. Rejects with the first answer that is wrong. */
  async run(poster: Poster, versions: number): Promise<Laden> {
    this.#going = true
    this.#killed = false
    const laden = { answered: 0, unanswered: 0 }
    try {
      await this.#settle(poster)
      while (this.#going) {
        try {
          await this.#act(poster, versions)
          laden.answered++
        } catch (error) {
          // A backend that is busy beside other suites: whether it was done is asked, as after a lost answer.
          if (!/: 503 the backend /.test((error as Error).message)) throw error
          laden.unanswered++
          await this.#settle(poster)
        }
      }
    } catch (error) {
      // An answer that is not 200 tells its status; a connection that was cut does not.
      if (!this.#killed || /^\/api\/\S+: \d+ /.test((error as Error).message)) throw error
      laden.unanswered++
    }
    return laden
  }

  /** Ends the run after the request that is under way. */
  stop(): void {
    this.#going = false
  }

  /** Tells that the server is being killed: requests that fail from now on may. */
  async killed(): Promise<void> {
    this.#killed = true
    this.#going = false
  }

  /** Reads every version of its secret, and resolves with how many there are. */
  async readAll(poster: Poster): Promise<number> {
    await this.#settle(poster)
    for (const [version, value] of this.#versions) await this.#read(poster, version, value)
    return this.#versions.size
  }

  async #act(poster: Poster, versions: number): Promise<void> {
    const kind = this.#random.weighted({ fill: 5, own: 2, put: 2, activate: 1, delete: 1 })
    if (kind === 'fill') {
      const secret = this.#random.below(versions / 2)
      const version = 1 + this.#random.below(2)
      return this.#read(poster, version, filled(secret, version), `fill/${secret}`)
    }
    const others = [...this.#versions.keys()].filter((version) => version !== this.#active)
    if (kind === 'put' || others.length === 0) return this.#put(poster)
    const version = this.#random.pick(others)
    if (kind === 'own') return this.#read(poster, version, this.#versions.get(version) ?? '')
    if (kind === 'activate') {
      // Where the answer is lost, which one is active is asked again.
      await poster.post('/api/activate', { Name: this.#name, Version: version })
      this.#active = version
      return
    }
    this.#doubt = { kind: 'delete', version }
    await poster.post('/api/delete-version', { Name: this.#name, Version: version })
    this.#doubt = undefined
    this.#versions.delete(version)
  }

  async #put(poster: Poster): Promise<void> {
    const value = `put ${++this.#puts} of ${this.#name}`
    this.#doubt = { kind: 'put', value }
    const Value = Buffer.from(value).toString('base64')
    const version = JSON.parse(await poster.post('/api/put', { Name: this.#name, Value })) as number
    this.#doubt = undefined
    if (this.#versions.size === 0) this.#active = version
    this.#versions.set(version, value)
  }

  async #read(poster: Poster, version: number, value: string, name = this.#name): Promise<void> {
    const answer = await poster.post('/api/get', { Name: name, Version: version })
    const found = Buffer.from((JSON.parse(answer) as { Value: string }).Value, 'base64').toString()
    if (found !== value) throw new Error(`${name} version ${version} is ${found}, not ${value}`)
  }

  /** Finds out what became of the request that a kill cut off. */
  async #settle(poster: Poster): Promise<void> {
    const doubt = this.#doubt
    if (this.#versions.size === 0 && doubt === undefined) return
    const info = await this.#info(poster)
    if (info === undefined) {
      if (this.#versions.size > 0) throw new Error(`${this.#name} is gone`)
      this.#doubt = undefined
      return
    }
    this.#active = info.ActiveVersion
    const found = new Set(info.Versions)
    if (doubt?.kind === 'delete' && !found.has(doubt.version)) this.#versions.delete(doubt.version)
    for (const version of this.#versions.keys()) {
      if (!found.delete(version)) throw new Error(`${this.#name} version ${version} is gone`)
    }
    for (const version of found) {
      if (doubt?.kind !== 'put') throw new Error(`${this.#name} has version ${version}`)
      await this.#read(poster, version, doubt.value)
      this.#versions.set(version, doubt.value)
    }
    // At the end: a kill may cut this off, too, and then it is asked again.
    this.#doubt = undefined
  }

  async #info(poster: Poster): Promise<{ Versions: number[]; ActiveVersion: number } | undefined> {
    try {
      return JSON.parse(await poster.post('/api/info', { Name: this.#name })) as {
        Versions: number[]
        ActiveVersion: number
      }
    } catch (error) {
      if ((error as Error).message.startsWith('/api/info: 404 ')) return undefined
      throw error
    }
  }
}
