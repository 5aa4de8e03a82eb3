/** Backups under full load: each gives back exactly the state of its own revision, and nothing waits for it. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { beginning } from '../../audit/line.ts'
import type { Client } from '../../client/client.ts'
import { createBackup, type CreatedBackup } from '../../server/backup/create.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import { restoreBackup } from '../../server/backup/restore/restore.ts'
import { keyringKeys, targetSource } from '../../server/backup/source.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import type { HistoryItem, SecretState, Store } from '../../server/store/contract.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { bytes, everything as everythingAllowed, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

// Servers start and stop in these, which takes its time on a machine that is busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const NAMES = ['a', 'b', 'c', 'prod/d', 'prod/e', 'é']
const WORKERS = 12
const TURNS = 60

test('a backup under load restores to the state at its revision: versions, pointers, tombstones, authors', async () => {
  using scratch = temporaryDirectory()
  await using live = await makeLive(scratch.path)
  const { store, keyring, clients } = live
  const values = new Map<string, string>()
  const worker = async (me: number): Promise<void> => {
    const client = clients[me % clients.length] as Client
    let seed = me * 7919 + 1
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
    for (let turn = 0; turn < TURNS; turn++) {
      const name = NAMES[random(NAMES.length)] as string
      const version = 1 + random(20)
      const text = `${me}/${turn}`
      const act = random(10)
      const done =
        act < 6
          ? client.put(name, bytes(text)).then((given) => values.set(`${name} ${given}`, text))
          : act < 8
            ? client.activate(name, version)
            : act < 9
              ? client.deleteVersion(name, version)
              : turn % 9 === 0
                ? client.delete(name)
                : client.get(name)
      await (done as Promise<unknown>).catch((error: { code?: string }) => {
        if (!['not_found', 'version_active'].includes(error.code ?? '')) throw error
      })
    }
  }
  const target = directoryTarget(live.backups)
  const backups: CreatedBackup[] = []
  const working = { on: true }
  const work = Promise.all(Array.from({ length: WORKERS }, (_, me) => worker(me)))
  const backing = (async () => {
    while (working.on) {
      backups.push(
        await createBackup({
          store,
          keyring,
          target,
          auditDirectory: live.audit,
          logHead: () => beginning,
          records: { announce: async () => {}, abandon: async () => {} },
        }),
      )
    }
  })()
  await work
  working.on = false
  await backing
  const { revision } = await store.head()
  const during = backups.filter(({ manifest }) => manifest.store.revision < revision)
  expect(during.length).toBeGreaterThan(1)
  const checked = [during[0], during[during.length >> 1], during.at(-1), backups.at(-1)]
  for (const [at, backup] of checked.entries()) {
    if (!backup) continue
    const to = join(scratch.path, `restored-${at}`)
    const source = await targetSource(target, backup.name)
    await restoreBackup({ source, keys: keyringKeys(keyring), to, operator: 'op' })
    await using restored = await opened(join(to, 'sotto.db'))
    for (const name of NAMES) {
      const history = (await store.history(name)).filter(
        (item) => item.revision <= backup.manifest.store.revision,
      )
      expect(await restored.store.history(name)).toEqual(history)
      const row = await restored.store.find(name)
      expect(row && stateOf(row), `${name} at ${backup.name}`).toEqual(replay(history))
      for (const version of row?.versions ?? []) {
        const found = (await restored.store.read(name, version))?.version
        const place = { name, incarnation: row?.incarnation ?? 0, version }
        const value = found && keyring.open(place, found).toString()
        expect(value, `${name} ${version}`).toBe(values.get(`${name} ${version}`))
      }
    }
  }
})

type Told = Omit<SecretState, 'name' | 'highest'>

function stateOf({ incarnation, active, versions, removed }: SecretState): Told {
  return { incarnation, active, versions, removed }
}

/** The state that a history leads to. */
function replay(history: readonly HistoryItem[]): Told | undefined {
  let state: Told | undefined
  for (const { verb, version = 0, incarnation } of history) {
    const { active = 0, versions = [], removed = [] } = state ?? {}
    if (verb === 'append') {
      state = { incarnation, active: active || version, versions: [...versions, version], removed }
    } else if (verb === 'activate') {
      state = { incarnation, active: version, versions, removed }
    } else if (verb === 'remove-version') {
      const rest = versions.filter((each) => each !== version)
      state = { incarnation, active, versions: rest, removed: ascending([...removed, version]) }
    } else {
      state = {
        incarnation,
        active: 0,
        versions: [],
        removed: ascending([...removed, ...versions]),
      }
    }
  }
  return state
}

function ascending(numbers: number[]): number[] {
  return numbers.toSorted((a, b) => a - b)
}

async function opened(path: string): Promise<AsyncDisposable & { readonly store: Store }> {
  const store = await openStore(path)
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

/** A server, and a second pair of eyes on its store, since it does not hand out its own. */
async function makeLive(path: string): Promise<
  AsyncDisposable & {
    readonly store: Store
    readonly keyring: Keyring
    /** Clients of three callers. */
    readonly clients: readonly Client[]
    readonly audit: string
    readonly backups: string
  }
> {
  const state = join(path, 'state')
  const rules = [everythingAllowed]
  const nodes = Object.fromEntries(
    [1, 2, 3].map((each) => [
      `127.0.0.${each}`,
      { name: `n${each}`, user: `u${each}@x.org`, rules },
    ]),
  )
  const service = await startService({}, { state, tailnet: { nodes } })
  const store = await openStore(join(state, 'sotto.db'))
  const stored = await store.keys()
  const { id } = store.identity
  const local = localKeyProvider(join(state, 'local.key'))
  const { rootKey } = await openRootKey([local], stored.wraps, id)
  const backups = join(path, 'backups')
  mkdirSync(backups)
  return {
    store,
    keyring: Keyring.open(id, rootKey, stored.keys, stored),
    clients: Object.keys(nodes).map((from) => service.client(from)),
    audit: join(state, 'audit'),
    backups,
    async [Symbol.asyncDispose]() {
      await store.close()
      await service[Symbol.asyncDispose]()
    },
  }
}
