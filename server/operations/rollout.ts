/** What callers ask about who holds a secret: how many have its active version, and who does not. */
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { SecretCache } from '../catalog/cache.ts'
import type { Consumers, Rollout } from '../consumers/consumers.ts'
import type { Call, Gate } from '../gate/gate.ts'

/** What the operation works with. */
export interface RolloutsParts {
  readonly gate: Gate
  readonly cache: Pick<SecretCache, 'row'>
  readonly consumers: Pick<Consumers, 'rollout' | 'since'>
  readonly clock: () => Date
}

type Answer = OperationResponse<'rollout'>
type Shown = Rollout['holders'][number]

/** Holders that are shown; those that are in the way come first. */
const MAX_SHOWN = 1000
const order = ['behind', 'unknown', 'current', 'left'] as const

/** Rollouts, as callers with rules see them. */
export class Rollouts {
  readonly #parts: RolloutsParts

  constructor(parts: RolloutsParts) {
    this.#parts = parts
  }

  /**
   * How far the active version of a secret has come, by what the server was told since it started. Needs `info` on the
   * name, and `audit` for the holders. Rejects with `not_found`.
   */
  async of(call: Call, { Name }: OperationRequest<'rollout'>): Promise<Answer> {
    const { gate, cache, consumers } = this.#parts
    const pass = await gate.enter(call, 'info', Name, 'rollout')
    const row = await cache.row(Name)
    if (!row || row.active === 0) {
      await pass.record('not-found')
      throw new SottoError('not_found', `There is no ${quote(Name)}`)
    }
    const { counts, doubts, holders } = await consumers.rollout(Name, row.active)
    await pass.record('ok')
    const { current, behind, unknown, left } = counts
    return {
      Version: row.active,
      Converged: behind === 0 && unknown === 0 && doubts.length === 0,
      Counts: { Current: current, Behind: behind, Unknown: unknown, Left: left },
      Doubts: [...doubts],
      Since: consumers.since.toISOString(),
      ...(gate.sees(call, 'audit', '') && { Holders: this.#shown(holders) }),
    }
  }

  #shown(holders: Rollout['holders']): NonNullable<Answer['Holders']> {
    const now = this.#parts.clock().getTime()
    return order
      .flatMap((state) => holders.filter((each) => each.state === state).slice(0, MAX_SHOWN))
      .slice(0, MAX_SHOWN)
      .map((each) => shownAt(each, now))
  }
}

function shownAt(
  { holder, state, version, silentMs }: Shown,
  now: number,
): NonNullable<Answer['Holders']>[number] {
  const { node, label } = holder
  const { hostname, ip, user, tags } = node.principal
  return {
    Node: node.key,
    Hostname: hostname,
    IP: ip,
    ...(user !== undefined && { User: user }),
    ...(tags && { Tags: [...tags] }),
    ...(label !== undefined && { Client: label }),
    Version: version,
    State: state,
    ...(silentMs !== undefined && { Seen: new Date(now - silentMs).toISOString() }),
  }
}
