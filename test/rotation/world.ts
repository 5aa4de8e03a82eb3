/** Rotations on a real store and a real gate, in a process that can crash before and after each thing that it does. */
import { join } from 'node:path'
import { processTimers, type Timers } from '../../client/platform/timers.ts'
import type { RotationConfig } from '../../client/api/rotations.ts'
import { SecretCache } from '../../server/catalog/cache.ts'
import type { Call } from '../../server/gate/gate.ts'
import { systemCall } from '../../server/gate/system.ts'
import { Scheduler } from '../../server/jobs/scheduler.ts'
import { Registry } from '../../server/metrics/registry.ts'
import { silentLogger } from '../../server/platform/logger.ts'
import { kindsOn } from '../../server/rotation/kinds/kinds.ts'
import { type RotationRecord, RotationRegistry } from '../../server/rotation/registry.ts'
import { runRules, Runs } from '../../server/rotation/runs.ts'
import { newState } from '../../server/rotation/state.ts'
import { Targets } from '../../server/rotation/targets.ts'
import { instruments } from '../../server/start/instruments.ts'
import { makeStore } from '../../server/start/new-store.ts'
import { openCommits, openKeys, openOwnStore } from '../../server/start/open-store.ts'
import { buildServices, type Services } from '../../server/start/services.ts'
import { Adoption } from '../../server/store/adoption.ts'
import { madeStateDirectory } from '../../server/store/directory.ts'
import { everything } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

/** Thrown where the process ends. */
class Crash extends Error {}

/** Says of each thing that is done whether the process crashes before it, after it, or not. */
export type Fate = (what: string) => 'before' | 'after' | undefined

/** What a test does to it. */
export interface RotationWorld {
  readonly services: Services
  readonly registry: RotationRegistry
  /** A call of a person, and one of the job. */
  readonly person: () => Call
  readonly job: () => Call
  readonly read: (name: string) => Promise<RotationRecord>
  readonly create: (name: string, config: RotationConfig) => Promise<RotationRecord>
  /** A process that begins with nothing in its memory, and has that fate. */
  readonly process: (fate: Fate, timers?: Timers) => Runs
}

/** Opens a new store, for as long as `undo` stands. */
export async function openWorld(undo: AsyncDisposableStack): Promise<RotationWorld> {
  const scratch = undo.use(temporaryDirectory())
  const state = madeStateDirectory(join(scratch.path, 'state'))
  const config = {
    dev: true,
    stateDir: state.path,
    tailnet: undefined,
    keyFile: undefined,
    listen: { host: '127.0.0.1', port: 0 },
  } as const
  await makeStore(state, { keyFile: undefined }, true)
  const metrics = instruments(new Registry())
  const store = await openOwnStore(config, state, { metrics: metrics.store }, undo)
  const keys = { logger: silentLogger, metrics: metrics.keys }
  const { keyring } = await openKeys(config, state, store, keys)
  const cache = new SecretCache(store, keyring, 1024 * 1024)
  const clock = (): Date => new Date()
  const commits = await openCommits(state, store, keyring, cache, {}, undo)
  const timers = processTimers
  const adoption = new Adoption(store, 'here')
  const scheduler = new Scheduler({ clock })
  const opened = {
    store,
    keyring,
    cache,
    commits,
    scheduler,
    metrics,
    clock,
    timers,
    adoption,
    state,
  }
  const services = await buildServices({ ...opened, logger: silentLogger }, {}, undefined, undo)
  await services.consumers.begin()
  const rotations = new RotationRegistry(store, keyring)
  const { gate } = services
  const person = (): Call => systemCall('person', [everything])
  return {
    services,
    registry: rotations,
    person,
    job: () => systemCall('rotations', runRules),
    read: (name) => rotations.named(name),
    create: async (name, settings) => {
      const pass = await gate.operate(person(), 'rotation:edit', 'rotation-create')
      const { nextId: id } = await rotations.read()
      const now = clock().toISOString()
      const made = newState(rotations.branch, now, undefined)
      await rotations.set(pass, undefined, {
        id,
        name,
        config: settings,
        state: made,
        createdAt: now,
      })
      return rotations.named(name)
    },
    process: (fate, others = timers) => {
      const mortal = mortality(fate)
      const { secrets } = services
      return new Runs({
        ...services,
        secrets: {
          put: mortal('put', secrets.put.bind(secrets)),
          activate: mortal('activate', secrets.activate.bind(secrets)),
          deleteVersion: mortal('delete', secrets.deleteVersion.bind(secrets)),
        },
        registry: new Proxy(rotations, {
          get: (target, field) => {
            const own: unknown = target[field as keyof RotationRegistry]
            if (typeof own !== 'function') return own
            const call = own.bind(target) as (...args: unknown[]) => Promise<unknown>
            return field === 'step' ? mortal('step', call) : call
          },
        }),
        kindOf: kindsOn(new Targets({ allowed: [] })),
        timers: others,
        random: () => 0.5,
      })
    },
  }
}

/** Wraps what a process does: once it has crashed, it does nothing more. */
function mortality(fate: Fate) {
  let isDead = false
  const die = (): never => {
    isDead = true
    throw new Crash()
  }
  return <A extends unknown[], T>(what: string, act: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      const found = isDead ? 'before' : fate(what)
      if (found === 'before') return die()
      const done = await act(...args)
      return found === 'after' ? die() : done
    }
}
