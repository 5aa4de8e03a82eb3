/** Any run of changes, right and wrong ones, held against a model of a store in memory. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type {
  Change,
  HistoryItem,
  SealedVersion,
  SecretRow,
  Store,
} from '../../server/store/contract.ts'
import {
  afterActivate,
  afterAppend,
  afterRemove,
  afterRemoveVersion,
  alice,
  app,
  changeTo,
  sealedVersion,
} from './store-states.ts'

/** One step of a run. Numbers are taken modulo what there is to choose from. */
interface Step {
  readonly verb: 'put' | 'create' | 'activate' | 'remove-version' | 'remove' | 'stale'
  readonly secret: number
  readonly number: number
}

const step: fc.Arbitrary<Step> = fc.record({
  verb: fc.constantFrom('put', 'put', 'create', 'activate', 'remove-version', 'remove', 'stale'),
  secret: fc.nat(2),
  number: fc.nat(11),
})

/** A secret as the model has it. */
interface Modelled {
  row: SecretRow
  readonly values: Map<number, SealedVersion>
  readonly history: HistoryItem[]
}

/** Registers the property for the store that `current` gives in each test. */
export function storeProperties(current: () => Store): void {
  test('any run of changes leaves what a model in memory has', async () => {
    const store = current()
    const all = new Map<string, Modelled>()
    let intent = 0
    let runs = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        runs++
        const names = ['x', 'x\u0000', '😀'].map((name) => `${runs}/${name}`)
        for (const one of steps) {
          const name = names[one.secret] as string
          intent++
          await (one.verb === 'stale'
            ? refuse(store, all.get(name), name, intent)
            : take(store, all, name, one, intent))
        }
        for (const name of names) await compare(store, name, all.get(name))
        const rows = [...all.values()].map(({ row }) => row).filter((row) => row.active !== 0)
        const bytewise = (a: SecretRow, b: SecretRow): number =>
          Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))
        expect(await store.list()).toEqual(rows.toSorted(bytewise))
        const changes = [...all.values()].flatMap(({ history }) => history)
        expect((await store.head()).revision).toBe(changes.length)
        const intents = Array.from({ length: intent }, (_, index) => index + 1)
        const done = changes.map(({ audit }) => audit)
        expect(await store.committed(intents)).toEqual(new Set(done))
      }),
      { numRuns: 20 },
    )
  })
}

/** A change that was computed from a state which is no longer, or never was. */
async function refuse(
  store: Store,
  secret: Modelled | undefined,
  name: string,
  intent: number,
): Promise<void> {
  const next = afterAppend(name, secret?.row)
  const change: Change = { ...changeTo(intent, secret?.row, next), expected: new Uint8Array(32) }
  await expect(store.append(change, sealedVersion(next.highest))).rejects.toMatchObject({
    code: 'conflict',
  })
}

/** Does the step in the store and in the model, if the secret's state admits it. */
async function take(
  store: Store,
  all: Map<string, Modelled>,
  name: string,
  { verb, number }: Step,
  intent: number,
): Promise<void> {
  const secret = all.get(name)
  const row = secret?.row
  const by = intent % 2 === 0 ? alice : app
  const record = (
    next: SecretRow,
    done: HistoryItem['verb'],
    revision: number,
    v?: number,
  ): void => {
    const line = { revision, verb: done, incarnation: next.incarnation, by, audit: intent }
    const { at } = changeTo(intent, row, next)
    const item = v === undefined ? { ...line, at } : { ...line, at, version: v }
    if (secret) secret.row = next
    else all.set(name, { row: next, values: new Map(), history: [] })
    all.get(name)?.history.push(item)
  }
  if (verb === 'put' || verb === 'create') {
    const version = verb === 'put' ? (row?.highest ?? 0) + 1 : number + 1
    if (row?.versions.includes(version) || row?.removed.includes(version)) return
    const next = afterAppend(name, row, version, verb === 'create')
    const sealed = sealedVersion(version, `${name} ${intent}`)
    const revision = await store.append(changeTo(intent, row, next, by), sealed)
    record(next, 'append', revision, version)
    all.get(name)?.values.set(version, sealed)
    return
  }
  if (!row || row.active === 0) return
  if (verb === 'remove') {
    const next = afterRemove(row)
    record(next, verb, await store.remove(changeTo(intent, row, next, by)))
    secret?.values.clear()
    return
  }
  const version = row.versions[number % row.versions.length] as number
  if (verb === 'activate') {
    const next = afterActivate(row, version)
    record(next, verb, await store.activate(changeTo(intent, row, next, by)), version)
  } else if (version !== row.active) {
    const next = afterRemoveVersion(row, version)
    const revision = await store.removeVersion(changeTo(intent, row, next, by), version)
    record(next, 'remove-version', revision, version)
    secret?.values.delete(version)
  }
}

async function compare(store: Store, name: string, secret: Modelled | undefined): Promise<void> {
  expect(await store.find(name)).toEqual(secret?.row)
  expect(await store.history(name)).toEqual(secret?.history ?? [])
  for (let version = 1; version <= (secret?.row.highest ?? 1); version++) {
    expect((await store.read(name, version))?.version).toEqual(secret?.values.get(version))
  }
  const active = secret?.values.get(secret.row.active)
  expect((await store.read(name, 0))?.version).toEqual(active)
}
