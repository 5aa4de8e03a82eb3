/** Which branch of its store a server serves, and the word of an operator that it may act as such. */
import { asSottoError, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { OpenBackends } from '../backends/opened.ts'
import type { BackendRecord, BackendRegistry } from '../backends/registry.ts'
import { Locks } from '../catalog/locks.ts'
import type { Call, Gate } from '../gate/gate.ts'
import type { Adoption } from '../store/adoption.ts'
import type { Store } from '../store/contract.ts'
import { countsSeen } from './backend-counts.ts'

/** What the operations work with. */
export interface BranchParts {
  readonly store: Store
  readonly gate: Gate
  readonly registry: BackendRegistry
  readonly open: OpenBackends
  readonly adoption: Adoption
  /** Where backups are made, in words; absent where none are. */
  readonly backupTarget?: string
  /** Called when the server may act from now on: takes over where backups are made, and wakes the jobs. */
  readonly begun: () => Promise<void>
}

type Status = OperationResponse<'branch-status'>
type Place = Status['Backends'][number]

/** The branch, as callers with rules see it. */
export class Branch {
  readonly #parts: BranchParts
  readonly #locks = new Locks()

  constructor(parts: BranchParts) {
    this.#parts = parts
  }

  /**
   * Which branch the store is, whether it is adopted, and what is outside of it that this server changes or
   * would change, as far as the caller may know. Needs `backends:view`, and `backup` to see where backups go.
   */
  async status(call: Call): Promise<Status> {
    const pass = await this.#parts.gate.operate(call, 'backends:view', 'branch-status')
    const status = await this.#status(call)
    await pass.record('ok')
    return status
  }

  /**
   * Lets this server change what is outside of its store, and takes over the places of its backends, those
   * that can be reached; again takes over the rest. Needs `backends:edit` and `backup`. Rejects with `conflict`
   * where the store is another branch than the one that was looked at.
   */
  async adopt(call: Call, { Branch: branch }: OperationRequest<'branch-adopt'>): Promise<Status> {
    const { gate, store, adoption, registry, open, begun } = this.#parts
    await gate.operate(call, 'backup', 'branch-adopt')
    const pass = await gate.operate(call, 'backends:edit', 'branch-adopt')
    if (branch !== store.identity.branch) {
      await pass.record('refused')
      const message = `Cannot adopt branch ${branch}: the store is branch ${store.identity.branch}`
      throw new SottoError('conflict', message, { hint: 'Look at it again: `sotto branch`.' })
    }
    return this.#locks.withLock('branch', async () => {
      await adoption.adopt(await pass.adopt(branch))
      // What fails is in the status, which is made from what is there then.
      await Promise.allSettled((await registry.all()).map((each) => open.takeOver(each)))
      await begun()
      return this.#status(call)
    })
  }

  async #status(call: Call): Promise<Status> {
    const { store, gate, adoption, registry, backupTarget } = this.#parts
    const { branch, former } = store.identity
    const { backends } = await registry.read()
    const seen = await countsSeen({ store, gate }, call, backends)
    const shown = backends.map((each) => ({ ...each, ...seen?.get(each.id) }))
    const isTold = backupTarget !== undefined && gate.sees(call, 'backup', '')
    return {
      Branch: branch,
      Adopted: adoption.adopted(),
      ...(adoption.reason !== undefined && { Reason: adoption.reason }),
      Former: [...former],
      Start: adoption.start.number,
      Backends: await Promise.all(shown.map((each) => this.#place(call, each))),
      ...(isTold && { BackupTarget: backupTarget }),
    }
  }

  async #place(call: Call, record: BackendRecord): Promise<Place> {
    const { name: Name, secrets: Secrets, orphans: Leftovers, config } = record
    const { open, gate } = this.#parts
    const of = { Name, Secrets, Leftovers, ...(config.mirror && { Mirror: config.mirror.secrets }) }
    try {
      const problem = await open.use(record.id, (backend) => open.places.whose(record, backend))
      if (!problem) return { ...of, Place: 'of this server', Ours: true }
      return { ...of, Place: gate.told(call, problem), Ours: false }
    } catch (error) {
      return { ...of, Place: `unknown: ${gate.told(call, asSottoError(error))}` }
    }
  }
}
