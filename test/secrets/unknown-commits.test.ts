/**
 * A change whose outcome is not known, since the store did not answer in time, may still be committed: what it says is
 * kept in a backend is not removed there meanwhile.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import { openBaoConfig } from '../../client/api/backends.ts'
import { SecretCache } from '../../server/catalog/cache.ts'
import { systemCall } from '../../server/gate/system.ts'
import { Scheduler } from '../../server/jobs/scheduler.ts'
import { Registry } from '../../server/metrics/registry.ts'
import { Migration } from '../../server/operations/migration.ts'
import { ORPHANS_JOB, orphansJob } from '../../server/secrets/orphans.ts'
import { instruments } from '../../server/start/instruments.ts'
import { makeStore } from '../../server/start/new-store.ts'
import { openCommits, openKeys, openOwnStore } from '../../server/start/open-store.ts'
import { buildServices } from '../../server/start/services.ts'
import { Adoption } from '../../server/store/adoption.ts'
import type { Store } from '../../server/store/contract.ts'
import { madeStateDirectory } from '../../server/store/directory.ts'
import { processTimers } from '../../client/platform/timers.ts'
import { silentLogger } from '../../server/platform/logger.ts'
import { ORIGIN } from '../support/backend-spec.ts'
import { MemoryBackend, SharedMemory } from '../support/memory-backend.ts'
import { everything } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

/** A verb of the store that is given up, and carried out once it is told to. */
type Held = 'fill' | 'rehome'

/** The services of a server with a backend that keeps new secrets where `isDefault`, and a store that can be held up. */
async function start(isDefault: boolean, undo: AsyncDisposableStack) {
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
  const real = await openOwnStore(config, state, { metrics: metrics.store }, undo)
  const held: {
    verb?: Held | undefined
    /** Whether it is never carried out. */
    fails?: boolean
    done?: Promise<unknown>
    open: () => void
  } = { open: () => {} }
  // The writer works in order, so that it answers what comes later after what is held up.
  const inOrder = async <T>(act: () => Promise<T>): Promise<T> => {
    await held.done
    return act()
  }
  const store = new Proxy(real, {
    get(target, name) {
      const own: unknown = target[name as keyof Store]
      if (typeof own !== 'function') return own
      const call = own.bind(target) as (...args: unknown[]) => Promise<unknown>
      if (name === 'check' || name === 'committed' || name === 'forgetOrphan') {
        return (...args: unknown[]) => inOrder(() => call(...args))
      }
      if (name !== 'fill' && name !== 'rehome') return call
      return async (...args: unknown[]) => {
        if (held.verb !== name) return call(...args)
        held.verb = undefined
        const gate = Promise.withResolvers<void>()
        held.open = gate.resolve
        held.done = gate.promise.then(() => (held.fails ? undefined : call(...args)))
        throw new SottoError('store_unavailable', 'the store did not answer in time')
      }
    },
  })
  const { keyring } = await openKeys(config, state, store, {
    logger: silentLogger,
    metrics: metrics.keys,
  })
  const cache = new SecretCache(store, keyring, 1024 * 1024)
  const clock = (): Date => new Date()
  const commits = await openCommits(state, store, keyring, cache, {}, undo)
  const adoption = new Adoption(store, 'here')
  await adoption.started(
    await commits.log.append({
      kind: 'start',
      version: 'test',
      provider: 'local',
      fingerprint: 'f',
    }),
  )
  const scheduler = new Scheduler({ clock })
  const place = new SharedMemory()
  const services = await buildServices(
    {
      store,
      keyring,
      cache,
      commits,
      scheduler,
      metrics,
      clock,
      timers: processTimers,
      adoption,
      state,
      logger: silentLogger,
    },
    { backendOrigins: [ORIGIN] },
    (_, { owner }) => new MemoryBackend(owner, place),
    undo,
  )
  scheduler.add(orphansJob(services))
  undo.defer(() => held.open())
  const call = () => systemCall('test', [everything])
  const { gate, registry, secrets } = services
  const put = (Name: string, text: string) =>
    secrets.put(call(), { Name, Value: Buffer.from(text) })
  const pass = await gate.operate(call(), 'backends:create', 'backend-create')
  const settings = openBaoConfig.parse({ url: ORIGIN, tokenSecretRef: { name: 'token' } })
  const backend = registry.sealed({
    id: 1,
    name: 'vault',
    type: 'openbao',
    description: '',
    isDefault,
    config: settings,
    createdAt: clock().toISOString(),
  })
  await pass.changeBackend('create', 'vault', (stamp) =>
    registry.changing(() => store.saveBackend(stamp, { backend, expected: null })),
  )
  return {
    held,
    place,
    services,
    put,
    call,
    get: async (Name: string): Promise<string> => {
      const found = await secrets.get(call(), { Name, Version: 0, UpdateIfChanged: false })
      return String(found?.Value)
    },
    /** Runs the job that clears backends, until it ends or has removed something. */
    clear: async (): Promise<void> => {
      const removes = Promise.withResolvers<void>()
      place.before = (method) => {
        if (method === 'removeLeaf') removes.resolve()
      }
      await Promise.race([scheduler.run(ORPHANS_JOB), removes.promise])
    },
    move: (From: string, To: string) =>
      new Migration(services).move(call(), { Name: 'app/key', From, To, KeepSource: false }),
  }
}

test('E2: a value whose version may yet be committed is not removed where it was written', async () => {
  await using undo = new AsyncDisposableStack()
  const { held, place, put, get, clear } = await start(true, undo)
  held.verb = 'fill'
  await expect(put('app/key', 'the value')).rejects.toMatchObject({ code: 'store_unavailable' })
  expect(place.leaves.size).toBe(1)
  await clear()
  held.open()
  await held.done
  expect(await get('app/key')).toBe('the value')
})

test('E2: neither is what a move brought back, where the store may yet point to it', async () => {
  await using undo = new AsyncDisposableStack()
  const { held, place, put, get, move, clear } = await start(false, undo)
  await put('app/key', 'the value')
  await move('default', 'vault')
  place.before = (method) => {
    if (method === 'removeLeaf') throw new SottoError('backend_refused', 'it may not')
  }
  // What is left at the backend is to be removed.
  expect((await move('vault', 'default')).Reason).toContain('it waits to be removed')
  held.verb = 'rehome'
  await expect(move('default', 'vault')).rejects.toMatchObject({ code: 'store_unavailable' })
  await clear()
  held.open()
  await held.done
  expect(await get('app/key')).toBe('the value')
})

test('E2: what was written for a change that did not come about is removed once that is known', async () => {
  await using undo = new AsyncDisposableStack()
  const { held, place, services, put, clear } = await start(true, undo)
  held.verb = 'fill'
  held.fails = true
  await expect(put('app/key', 'the value')).rejects.toMatchObject({ code: 'store_unavailable' })
  await clear()
  expect(place.leaves.size).toBe(1)
  held.open()
  await expect.poll(() => services.cache.isUncertain('app/key')).toBe(false)
  await expect.poll(async () => (await clear(), place.leaves.size)).toBe(0)
})
