/** What is asked about secrets beyond setec's wire: long lists, history, and changes that expect what they found. */
import { STORE_BACKEND } from '../../client/api/backends.ts'
import { SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { readBase64 } from '../../client/api/wire.ts'
import type { BackendRegistry } from '../backends/registry.ts'
import type { Call, Gate } from '../gate/gate.ts'
import { turns } from '../platform/turns.ts'
import type { Act, VersionHistory } from '../secrets/history.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { SecretRow, Store } from '../store/contract.ts'

/** What the service works with. */
export interface SecretOperationsParts {
  readonly secrets: Secrets
  readonly store: Store
  readonly gate: Gate
  readonly registry: BackendRegistry
}

type Listed = OperationResponse<'secret-list'>['Secrets'][number]
type Shown = OperationResponse<'secret-history'>['Versions'][number]

/** Versions of a history in one answer. */
const MAX_VERSIONS = 1000

/** The secrets of a server, as callers with rules see them. */
export class SecretOperations {
  readonly #parts: SecretOperationsParts

  constructor(parts: SecretOperationsParts) {
    this.#parts = parts
  }

  /**
   * The secrets that the caller has `info` on, by name in byte order, with when each was changed, and to callers with
   * `backends:view` what keeps it. Needs no permission itself.
   */
  async list(
    call: Call,
    { Prefix = '' }: OperationRequest<'secret-list'>,
  ): Promise<OperationResponse<'secret-list'>> {
    const { gate, store } = this.#parts
    // Reading all names is work that a caller without rights cannot ask for.
    const reads = gate.seesAny(call, 'info')
    const rows = reads ? await store.list() : []
    const times = new Map<string, string | undefined>()
    await turns.collect(reads ? await store.lastChanges() : [], ({ name, at }) => {
      times.set(name, at)
    })
    const homes = gate.sees(call, 'backends:view', '') ? await this.#homes() : undefined
    const isSeen = gate.allowing(call, 'info')
    const visible = await turns.collect(rows, ({ name, versions, active }): Listed | undefined => {
      if (!name.startsWith(Prefix) || !isSeen(name)) return undefined
      const at = times.get(name)
      return {
        Name: name,
        Versions: [...versions],
        ActiveVersion: active,
        ...(at !== undefined && { ChangedAt: at }),
        ...(homes && { Backend: homes.get(name) ?? STORE_BACKEND }),
      }
    })
    await gate.listed(call, visible.length)
    return { Secrets: visible }
  }

  /**
   * What became of the versions of a secret, and to callers with `audit` by whom. Needs `info` on the name. Rejects with
   * `not_found` where there never was one.
   */
  async history(
    call: Call,
    { Name }: OperationRequest<'secret-history'>,
  ): Promise<OperationResponse<'secret-history'>> {
    const { secrets, gate } = this.#parts
    const { row, history } = await secrets.history(call, Name)
    const told = gate.sees(call, 'audit', '')
    const { versions, before, unsure } = history
    const newest = versions.slice(-MAX_VERSIONS)
    const existing = new Set(row.versions)
    return {
      Name,
      ActiveVersion: row.active,
      Versions: newest.map((each) => shown(each, stateOf(each, row, existing), told)),
      Earlier: versions.length - newest.length,
      ...(before !== undefined && { Before: before }),
      Unsure: [...unsure],
    }
  }

  /**
   * Adds a version if `Expect` is the latest one. Needs `put` on the name, and `activate` too with `Activate`. Rejects as
   * `Secrets.put`, and with `conflict`. The value is zeroed.
   */
  async put(
    call: Call,
    { Name, Value: text, Expect, Activate }: OperationRequest<'secret-put'>,
  ): Promise<OperationResponse<'secret-put'>> {
    const { secrets, gate } = this.#parts
    const Value = await turns.finish(readBase64(text))
    if (!Value) {
      throw new SottoError(
        'bad_request',
        'Cannot read the request: field "Value": it is not standard base64',
      )
    }
    try {
      // Before the value is there.
      if (Activate) await gate.enter(call, 'activate', Name)
      const { version, isActive } = await secrets.put(call, { Name, Value }, Expect)
      if (Activate && !isActive) await secrets.activate(call, { Name, Version: version })
      return { Version: version, Active: isActive || Activate }
    } finally {
      Value.fill(0)
    }
  }

  /**
   * Makes a version the active one, or the one that was active before, if `Expect` is active. Needs `activate` on the
   * name. Rejects with `not_found` and `conflict`.
   */
  async activate(
    call: Call,
    { Name, Version, Expect }: OperationRequest<'secret-activate'>,
  ): Promise<OperationResponse<'secret-activate'>> {
    const wanted = { Name, ...(Version !== undefined && { Version }) }
    const { version, was } = await this.#parts.secrets.activate(call, wanted, Expect)
    return { Version: version, Was: was }
  }

  /** The backends of secrets that are not kept by the store itself. */
  async #homes(): Promise<ReadonlyMap<string, string>> {
    const { registry, store } = this.#parts
    const homes = new Map<string, string>()
    for (const { id, name: backend } of await registry.all().catch(() => [])) {
      await turns.collect(await store.homed(id), (name) => {
        homes.set(name, backend)
      })
    }
    return homes
  }
}

function stateOf(
  { version, put }: VersionHistory,
  { active }: SecretRow,
  existing: ReadonlySet<number>,
): Shown['State'] {
  if (version === active) return 'active'
  if (existing.has(version)) return 'staged'
  return put === undefined ? 'unused' : 'deleted'
}

function shown(
  { version, put, activations, deleted }: VersionHistory,
  State: Shown['State'],
  told: boolean,
): Shown {
  return {
    Version: version,
    State,
    ...(put && { Put: actOf(put, told) }),
    Active: activations.map(({ until, ...act }) => ({
      ...actOf(act, told),
      ...(until !== undefined && { Until: until }),
    })),
    ...(deleted && { Deleted: actOf(deleted, told) }),
  }
}

function actOf({ at, by: { hostname, ip, user, tags } }: Act, told: boolean): Shown['Put'] & {} {
  if (!told) return { At: at }
  const named = { ...(user !== undefined && { User: user }), ...(tags && { Tags: [...tags] }) }
  return { At: at, By: { Hostname: hostname, IP: ip, ...named } }
}
