/** Renumbers versions between setec, which counts from 1 again after a delete, and Sotto, which goes on. */
import type { RawAnswer } from '../raw.ts'
import type { Method } from './corpus.ts'
import type { Contents } from './pair.ts'

interface Count {
  /** Numbers that the name used up before it was deleted last. */
  offset: number
  /** The highest number since then, as setec counts; 0 for none. */
  latest: number
  live: Set<number>
}

/** The numbers that each name used up so far. */
export class Numbering {
  readonly #counts = new Map<string, Count>()

  /** setec's number as Sotto counts; 0, which stands for no version, stays. */
  toSotto(name: string, version: number): number {
    return version === 0 ? 0 : version + this.#of(name).offset
  }

  /** Sotto's answer with its numbers as setec counts. */
  fromSotto(method: Method, name: string, answer: RawAnswer): RawAnswer {
    if (answer.status !== 200) return answer
    return {
      ...answer,
      body: JSON.stringify(this.#renumber(method, name, JSON.parse(answer.body))),
    }
  }

  /** Sotto's contents with their numbers as setec counts. */
  contents(contents: Contents): Contents {
    const renumbered = Object.entries(contents).map(([name, { active, values }]) => {
      const { offset } = this.#of(name)
      const pairs = Object.entries(values).map(([version, value]) => [
        Number(version) - offset,
        value,
      ])
      return [name, { active: active - offset, values: Object.fromEntries(pairs) }] as const
    })
    return Object.fromEntries(renumbered)
  }

  /** Whether the secret exists and the value of its latest version was deleted. */
  latestIsDead(name: string): boolean {
    const { latest, live } = this.#of(name)
    return latest > 0 && !live.has(latest)
  }

  /** Takes note of a call that succeeded: `version` as it was asked for, `answer` as setec gave it. */
  note(method: Method, name: string, version: number, answer: string): void {
    const count = this.#of(name)
    if (method === 'put') add(count, Number(answer))
    else if (method === 'create-version') add(count, version)
    else if (method === 'delete-version') count.live.delete(version)
    else if (method === 'delete') {
      count.offset += count.latest
      count.latest = 0
      count.live.clear()
    }
  }

  #of(name: string): Count {
    const known = this.#counts.get(name)
    if (known) return known
    const count: Count = { offset: 0, latest: 0, live: new Set() }
    this.#counts.set(name, count)
    return count
  }

  #renumber(method: Method, name: string, body: unknown): unknown {
    const { offset } = this.#of(name)
    if (method === 'put') return (body as number) - offset
    if (method === 'get') {
      const value = body as { Version: number }
      return { ...value, Version: value.Version - offset }
    }
    if (method === 'info') return this.#renumberInfo(body as Info)
    if (method === 'list') return (body as Info[]).map((info) => this.#renumberInfo(info))
    return body
  }

  #renumberInfo(info: Info): Info {
    const { offset } = this.#of(info.Name)
    return {
      ...info,
      Versions: info.Versions.map((version) => version - offset),
      ActiveVersion: info.ActiveVersion - offset,
    }
  }
}

interface Info {
  readonly Name: string
  readonly Versions: readonly number[]
  readonly ActiveVersion: number
}

function add(count: Count, version: number): void {
  count.latest = Math.max(count.latest, version)
  count.live.add(version)
}
