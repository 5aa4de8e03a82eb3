/** Keeps Secrets equal to Sotto: for each SecretDefinition, when it changes, when Sotto tells of a change, and from time to time. */
import type { SottoError } from '../../../client/api/errors.ts'
import { quote } from '../../../client/api/errors.ts'
import type { Client } from '../../../client/client.ts'
import type { Timers } from '../../../client/platform/timers.ts'
import type { Logger } from '../../../server/platform/logger.ts'
import { ApiFailure, isStatus, type KubernetesApi } from './api.ts'
import { type Content, contentFor } from './content.ts'
import { type Definition, definitionOf, deniedOf } from './definition.ts'
import { type ControllerMetrics, reasons } from './metrics.ts'
import { dataOf, deniedBy, isUnknown, secretNameFor, sentence, synced, troubleOf } from './judge.ts'
import { Needs } from './needs.ts'
import type { Policy } from './policy.ts'
import { type Done, Queue } from './queue.ts'
import { Reflector } from './reflector.ts'
import { API_VERSION, type DefinitionResource } from './resource.ts'
import { restart } from './rollout.ts'
import { hasData, readSecret, removeSecret, type Written, writeSecret } from './secret.ts'
import { type Outcome, readyOf, type Reason, type Said, statusOf, tell } from './status.ts'
import { type Known, Values } from './values.ts'

/** Definitions that are worked on at the same time. */
const WORKERS = 8

/** What a controller is made of. */
export interface ControllerParts {
  readonly api: KubernetesApi
  readonly client: Client
  readonly policy: Policy
  /** The namespaces to look into; none: all. */
  readonly namespaces: readonly string[]
  /** Those that are left alone. */
  readonly excluded: readonly string[]
  /** Milliseconds from one look at a Secret to the next. */
  readonly resyncMs: number
  readonly logger: Logger
  readonly metrics: ControllerMetrics
  readonly clock: () => Date
  readonly timers: Timers
  /** From 0 to below 1. */
  readonly random: () => number
}

const done: Done = { again: false }

/** A controller. `run` does the work. */
export class Controller {
  readonly #parts: ControllerParts
  readonly #definitions = new Map<string, DefinitionResource>()
  readonly #reasons = new Map<string, Reason>()
  readonly #values: Values
  readonly #needs: Needs
  readonly #queue: Queue
  /** The namespaces that were listed, `''` for all. */
  readonly #listed = new Set<string>()
  #failedAt: number | undefined
  #failure: SottoError | undefined

  constructor(parts: ControllerParts) {
    const { client, clock, timers, random, metrics } = parts
    this.#parts = parts
    this.#values = new Values({
      client,
      changed: (name) => this.#needs.usersOf(name).forEach((each) => this.#queue.add(each)),
      reached: (failure) => this.#reached(failure),
      clock,
      timers,
      random,
    })
    this.#needs = new Needs(this.#values, client)
    this.#queue = new Queue({ work: (key) => this.#work(key), workers: WORKERS, timers, random })
    metrics.secrets.follow(() => this.#values.size)
    metrics.age.follow(() =>
      this.#failedAt === undefined ? 0 : (timers.now() - this.#failedAt) / 1000,
    )
    for (const reason of reasons) {
      const count = (): number => [...this.#reasons.values()].filter((it) => it === reason).length
      metrics.definitions.with({ reason }).follow(count)
    }
  }

  /** Whether all definitions are in view. */
  get isReady(): boolean {
    return this.#listed.size >= Math.max(1, this.#parts.namespaces.length)
  }

  /** Resolves when `signal` is aborted and nothing is under way. */
  async run(signal: AbortSignal): Promise<void> {
    const { namespaces, timers, resyncMs } = this.#parts
    let stop: (() => void) | undefined
    const lookLater = (): void => {
      stop = timers.after(resyncMs, () => {
        for (const key of this.#definitions.keys()) this.#queue.add(key)
        lookLater()
      })
    }
    lookLater()
    const wanted = namespaces.length === 0 ? [''] : namespaces
    await Promise.all(wanted.map((each) => this.#reflector(each).run(signal)))
    stop?.()
    await this.#queue.close()
    await this.#values.close()
  }

  #reflector(namespace: string): Reflector<DefinitionResource> {
    const { api, timers, random, logger, metrics } = this.#parts
    const within = namespace === '' ? '' : `/namespaces/${namespace}`
    return new Reflector<DefinitionResource>({
      api,
      path: `/apis/${API_VERSION}${within}/secretdefinitions`,
      seen: {
        replace: (all) => {
          const present = new Set(all.map(keyOf))
          for (const [key, one] of this.#definitions) {
            const isMeant = namespace === '' || one.metadata.namespace === namespace
            if (isMeant && !present.has(key)) this.#forget(key)
          }
          for (const one of all) this.#see(one)
        },
        set: (one) => this.#see(one),
        remove: (one) => this.#forget(keyOf(one)),
      },
      failed: (failure) => {
        metrics.errors.with({ of: 'cluster' }).add()
        const hint =
          failure.status === 404
            ? 'Apply the definition of SecretDefinitions: crd.yaml.'
            : undefined
        logger.warn(failure.message, { hint })
      },
      listed: () => this.#listed.add(namespace),
      timers,
      random,
    })
  }

  #see(one: DefinitionResource): void {
    if (this.#parts.excluded.includes(one.metadata.namespace ?? '')) return
    const key = keyOf(one)
    const before = this.#definitions.get(key)
    this.#definitions.set(key, one)
    const { uid, generation } = before?.metadata ?? {}
    const isAsked =
      uid !== one.metadata.uid ||
      generation !== one.metadata.generation ||
      JSON.stringify(before?.metadata.labels) !== JSON.stringify(one.metadata.labels) ||
      JSON.stringify(before?.metadata.annotations) !== JSON.stringify(one.metadata.annotations)
    // A change of its status alone is this program's own.
    if (isAsked) this.#queue.add(key)
  }

  #forget(key: string): void {
    this.#definitions.delete(key)
    this.#reasons.delete(key)
    this.#needs.set(key, [])
    this.#queue.forget(key)
  }

  #reached(failure: SottoError | undefined): void {
    const { logger, metrics, timers } = this.#parts
    this.#failure = failure
    if (failure) {
      this.#failedAt ??= timers.now()
      metrics.errors.with({ of: 'sotto' }).add()
      logger.warn(failure.message, { hint: failure.hint, code: failure.code })
      for (const [key, one] of this.#definitions) {
        if (readyOf(statusOf(one)) === undefined) this.#queue.add(key)
      }
    } else {
      this.#failedAt = undefined
      logger.info('Sotto answers')
    }
  }

  async #work(key: string): Promise<Done> {
    const resource = this.#definitions.get(key)
    if (!resource || resource.metadata.deletionTimestamp !== undefined) return done
    const { metrics, logger } = this.#parts
    try {
      return await this.#reconcile(key, resource)
    } catch (error) {
      // The definition is gone meanwhile, or another one has its place: the watch tells.
      if (isStatus(error, 404) || isStatus(error, 409)) return { again: true }
      metrics.errors.with({ of: 'cluster' }).add()
      if (!(error instanceof ApiFailure)) throw error
      logger.warn(`SecretDefinition ${quote(key)}: ${error.message}`)
      return { again: true, atLeastMs: error.retryAfterMs }
    }
  }

  async #reconcile(key: string, resource: DefinitionResource): Promise<Done> {
    const { api, policy } = this.#parts
    const { namespace = '' } = resource.metadata
    const definition = definitionOf(resource, policy)
    if (typeof definition === 'string') {
      this.#needs.set(key, [])
      return this.#tell(key, resource, { outcome: { reason: 'Invalid', message: definition } })
    }
    // Before anything is fetched.
    const denied = deniedOf(definition, namespace, policy)
    if (denied.length > 0) {
      this.#needs.set(key, [])
      return this.#tell(key, resource, { outcome: deniedBy(denied) })
    }
    this.#needs.set(key, definition.entries)
    const known = new Map<string, Known>()
    for (const entry of definition.entries) known.set(entry.key, await this.#needs.find(entry))
    const content = contentFor(definition, (entry) => known.get(entry.key) ?? { state: 'unknown' })
    if (isUnknown(content)) return this.#unknown(key, resource, definition)
    const trouble = troubleOf(definition, content)
    let name = secretNameFor(definition, content)
    let live = await readSecret(api, namespace, name)
    const data = dataOf(definition, content, live)
    if (!data) return this.#tell(key, resource, { outcome: trouble ?? synced(name) })
    const { secretName: last } = statusOf(resource)
    if (definition.isImmutable && last && last !== name) {
      // Another version may have nothing else for these keys.
      const before = await readSecret(api, namespace, last)
      if (before && hasData(before, data)) [name, live] = [last, before]
    }
    const wanted = { resource, definition, name, data }
    const written = await writeSecret(api, wanted, live).catch((error: unknown) => {
      this.#parts.metrics.writes.with({ result: 'failed' }).add()
      throw error
    })
    return this.#written(key, { resource, definition, name, content, trouble }, written)
  }

  async #written(key: string, about: About, written: Written): Promise<Done> {
    const { api, metrics } = this.#parts
    const { resource, definition, name, content, trouble } = about
    if (written.state === 'conflict' || written.state === 'invalid') {
      metrics.writes.with({ result: 'conflict' }).add()
      const reason = written.state === 'conflict' ? 'Conflict' : 'Invalid'
      return this.#tell(key, resource, { outcome: { reason, message: sentence(written.why) } })
    }
    if (written.state === 'written') metrics.writes.with({ result: 'ok' }).add()
    const { mark, before } = written
    const { restarted, secretName: last, previous } = statusOf(resource)
    const isRenamed = last !== name && (last ?? definition.secret) !== name
    if (isRenamed || (restarted ?? before ?? mark) !== mark) {
      await this.#restart(about, mark)
    }
    const isReplaced = last !== undefined && last !== null && last !== name
    if (isReplaced && !definition.isImmutable) await removeSecret(api, resource, last)
    // Pods of the content before may still be there: what goes is the one before that.
    const old = isReplaced && definition.isImmutable ? previous : undefined
    if (old && old !== name) await removeSecret(api, resource, old)
    const values = [...content].flatMap(([each, made]) =>
      made.state === 'value' ? [[each, made.version] as const] : [],
    )
    return this.#tell(key, resource, {
      outcome: trouble ?? synced(name),
      secretName: name,
      ...(isReplaced && { previous: last }),
      restarted: mark,
      versions: new Map(values),
    })
  }

  /** Restarts what the definition names, unless it was restarted for this content. */
  async #restart({ resource, definition, name }: About, mark: string): Promise<void> {
    const { api, metrics, logger } = this.#parts
    const { namespace = '' } = resource.metadata
    const { secret } = definition
    const { secretName } = statusOf(resource)
    const names = [secret, ...(secretName ? [secretName] : [])]
    for (const workload of definition.rollout) {
      if (!(await restart(api, namespace, workload, { secret, mark, name, names }))) continue
      metrics.restarts.add()
      logger.info(`restarted ${workload.kind} ${quote(`${namespace}/${workload.name}`)}`)
    }
  }

  async #unknown(
    key: string,
    resource: DefinitionResource,
    { entries }: Definition,
  ): Promise<Done> {
    const isFixed = entries.some(({ version }) => version !== undefined)
    // What Sotto says is told by a change; versions that are fixed are asked for again.
    const again: Done = isFixed ? { again: true } : done
    if (!this.#failure || readyOf(statusOf(resource))) return again
    const outcome: Outcome = { reason: 'Unreachable', message: 'Sotto does not answer.' }
    await this.#tell(key, resource, { outcome })
    return again
  }

  async #tell(key: string, resource: DefinitionResource, said: Said): Promise<Done> {
    const { api, clock } = this.#parts
    const status = await tell(api, resource, said, clock())
    this.#reasons.set(key, said.outcome.reason)
    const current = this.#definitions.get(key)
    // What the watch tells of it comes later.
    if (current === resource) this.#definitions.set(key, { ...resource, status })
    return done
  }
}

/** What was written, and for what. */
interface About {
  readonly resource: DefinitionResource
  readonly definition: Definition
  /** Of the Secret. */
  readonly name: string
  readonly content: Content
  /** What is the matter although a Secret is written. */
  readonly trouble: Outcome | undefined
}

function keyOf({ metadata }: DefinitionResource): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}
