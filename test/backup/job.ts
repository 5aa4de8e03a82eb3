/** The jobs over backups on a real store and a real target, with a clock and timers that a test moves. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { beginning } from '../../audit/line.ts'
import { AuditLog } from '../../audit/log.ts'
import type { Receipt } from '../../audit/record.ts'
import type { Keep } from '../../server/backup/retention.ts'
import { BackupJob } from '../../server/backup/schedule/job.ts'
import { BackupMemory } from '../../server/backup/schedule/memory.ts'
import { rehearsalJob } from '../../server/backup/schedule/rehearsal.ts'
import { directoryTarget } from '../../server/backup/targets/directory.ts'
import type { BackupTarget } from '../../server/backup/targets/target.ts'
import { Keyring } from '../../server/crypto/keyring.ts'
import { localKeyProvider } from '../../server/crypto/local-key.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import { openRootKey } from '../../server/crypto/root-key.ts'
import type { Gate } from '../../server/gate/gate.ts'
import { StoreMacs } from '../../server/gate/store-macs.ts'
import { systemCall } from '../../server/gate/system.ts'
import type { Store } from '../../server/store/contract.ts'
import { openStore } from '../../server/store/sqlite/store.ts'
import { ManualTimers } from '../audit/fixtures.ts'
import type { MadeState } from './made.ts'
import { recordingLogger } from '../support/logger.ts'

/** When every test begins. */
export const START: number = Date.UTC(2026, 10, 28)

/** How a server with backups is made. */
export interface JobOptions {
  readonly keep?: Keep
  readonly target?: BackupTarget
  readonly timers?: ManualTimers
  readonly adopted?: () => boolean
  /** Which start it is. */
  readonly number?: number
  /** The file of what it knows. */
  readonly memory?: string
  readonly rehearseIn?: string
  /** The keys that are available for a rehearsal; default: the local one. */
  readonly providers?: readonly KeyProvider[]
}

/** A server with backups, without all that is not about them. */
export interface BackupServer extends AsyncDisposable {
  readonly job: BackupJob
  readonly memory: BackupMemory
  readonly store: Store
  readonly keyring: Keyring
  readonly timers: ManualTimers
  /** How far the clock is off from the timers, in milliseconds. */
  readonly clock: { off: number }
  /** Commits a change, as a server does. */
  change(): Promise<void>
  /** A run of the job; wanted: as for an operator who asks for a backup. */
  run(wanted?: boolean): Promise<string>
  rehearse(): Promise<string>
  /** Names of what was deleted. */
  readonly pruned: string[]
  /** Names that were recorded, with the root key that was. */
  readonly announced: [name: string, root: string][]
  readonly said: string[]
}

/** Starts one on the store in `made`. */
export async function backupServer(
  made: MadeState,
  options: JobOptions = {},
): Promise<BackupServer> {
  const { timers = new ManualTimers(), adopted = () => true, number = 1 } = options
  const store = await openStore(join(made.state, 'sotto.db'))
  const stored = await store.keys()
  const { id } = store.identity
  const provider = localKeyProvider(made.keyFile)
  const { rootKey } = await openRootKey([provider], stored.wraps, id)
  const keyring = Keyring.open(id, rootKey, stored.keys, stored)
  const found = { last: null, revision: 0, open: [], torn: 0, nextId: 1, macsFrom: 1 }
  const macs = await StoreMacs.open(store, keyring, found)
  const target = options.target ?? directoryTarget(made.backups)
  const file = options.memory ?? join(made.state, 'backups.json')
  const memory = await BackupMemory.open(file, target.description, timers)
  const pruned: string[] = []
  const announced: BackupServer['announced'] = []
  const said: string[] = []
  const records = {
    announce: async (...given: BackupServer['announced'][number]) => void announced.push(given),
    abandon: async () => {},
    prune: async (name: string, remove: () => Promise<void>) => {
      await remove()
      pruned.push(name)
    },
    rehearsed: async () => {},
  }
  const head: Receipt = beginning
  const clock = { off: 0 }
  const startId = randomBytes(8).toString('hex')
  const parts = {
    store,
    keyring,
    // The gate has tests of its own.
    gate: { operate: async () => ({ backups: () => records }) } as unknown as Gate,
    log: { head } as AuditLog,
    auditDirectory: join(made.state, 'audit'),
    target,
    keep: options.keep,
    memory,
    clock: () => new Date(START + timers.now() + clock.off),
    timers,
    adoption: { adopted, start: { number, record: `1 ${startId}` } },
    logger: recordingLogger(said),
  }
  const job = new BackupJob(parts)
  const rehearsal = rehearsalJob({
    ...parts,
    job,
    providers: async () => [...(options.providers ?? [provider])],
    directory: options.rehearseIn ?? made.state,
    everyMs: 24 * 3600 * 1000,
  })
  const { signal } = new AbortController()
  const server: BackupServer = {
    job,
    memory,
    store,
    keyring,
    timers,
    clock,
    async change() {
      const row = await store.find('a')
      if (!row) throw new Error('the store has no secret a')
      const { revision } = await store.head()
      await using log = await AuditLog.open({
        directory: join(made.state, 'audit'),
        logId: id,
        revision: () => revision,
        macs: { keys: keyring, branch: store.identity.branch, from: () => macs.from },
      })
      const principal = { hostname: '', ip: '', user: 'a test' }
      const intent = await log.append({
        kind: 'change',
        request: randomBytes(12).toString('hex'),
        principal,
        action: 'activate',
        authorized: true,
        secret: 'a',
        secretVersion: row.active,
        verb: 'activate',
      })
      const at = parts.clock().toISOString()
      const next = { ...row, mac: keyring.mac(row) }
      await store.activate({ intent, by: principal, at, expected: row.mac, next })
    },
    run(wanted = false) {
      if (wanted) job.want()
      return job.job().run({ call: systemCall('backup', []), signal })
    },
    rehearse: () => rehearsal.run({ call: systemCall('rehearsal', []), signal }),
    pruned,
    announced,
    said,
    [Symbol.asyncDispose]: () => store.close(),
  }
  return server
}
