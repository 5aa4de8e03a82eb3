/** The table of operations: what answers each that a caller can ask for. */
import type { Operations } from '../http/app.ts'
import type { AuditQueries } from '../operations/audit.ts'
import { Backends } from '../operations/backends.ts'
import { Branch } from '../operations/branch.ts'
import { Jobs as JobOperations } from '../operations/jobs.ts'
import { Keys, type NamedSettings } from '../operations/keys.ts'
import { Migration } from '../operations/migration.ts'
import { SecretOperations } from '../operations/secrets.ts'
import { Rollouts } from '../operations/rollout.ts'
import type { NewKey } from '../keys/wraps.ts'
import { readSwitch, type SettingValues } from '../config/settings/setting.ts'
import { MIRROR_JOB } from '../mirror/job.ts'
import { ROTATIONS_JOB } from '../rotation/job.ts'
import { ORPHANS_JOB } from '../secrets/orphans.ts'
import type { Jobs, JobsWorld } from './jobs.ts'
import { newKeyOf } from './new-key.ts'
import type { Services } from './services.ts'

/** What answers the operations in addition to the services. */
export interface OperationsParts extends Jobs, Pick<JobsWorld, 'providers'> {
  readonly audit: AuditQueries
  /** The environment of the server, for keys that are added. */
  readonly variable: SettingValues['variable']
}

/** Builds the table. */
export function operationsOf(
  services: Services,
  { audit, mirrors, backups, rotation, rotations, providers, variable }: OperationsParts,
): Operations {
  const { gate, scheduler } = services
  const jobs = new JobOperations(scheduler, gate)
  const backends = new Backends(services)
  const newKey = (provider: string, named: NamedSettings): Promise<NewKey> =>
    newKeyOf(provider, {
      value: (flag) => named.get(flag),
      on: (flag) => readSwitch(named.get(flag) ?? '') === true,
      variable,
    })
  const begun = (): void => scheduler.wake('rotation')
  const keys = new Keys({ ...services, rotation, providers, newKey, begun })
  const migration = new Migration(services)
  const secrets = new SecretOperations(services)
  const rollouts = new Rollouts(services)
  const branch = new Branch({
    ...services,
    ...(backups.target !== undefined && { backupTarget: backups.target }),
    begun: async () => {
      for (const job of [MIRROR_JOB, ORPHANS_JOB, ROTATIONS_JOB]) scheduler.wake(job)
      await backups.takeTarget()
    },
  })
  return {
    'secret-list': (call, request) => secrets.list(call, request),
    'secret-history': (call, request) => secrets.history(call, request),
    'secret-put': (call, request) => secrets.put(call, request),
    'secret-activate': (call, request) => secrets.activate(call, request),
    'audit-query': (call, request) => audit.ask(call, request),
    rollout: (call, request) => rollouts.of(call, request),
    'job-status': (call) => jobs.status(call),
    'job-run': (call, request) => jobs.run(call, request),
    'mirror-status': (call, request) => mirrors.status(call, request),
    'mirror-sync': (call, request) => mirrors.sync(call, request),
    'mirror-plan': (call, request) => mirrors.plan(call, request),
    'backup-create': (call) => backups.create(call),
    'backup-adopt': (call) => backups.adopt(call),
    'backup-status': (call) => backups.status(call),
    'backend-list': (call) => backends.list(call),
    'backend-describe': (call, request) => backends.describe(call, request),
    'backend-secrets': (call, request) => backends.secrets(call, request),
    'backend-create': (call, request) => backends.create(call, request),
    'backend-apply': (call, request) => backends.apply(call, request),
    'backend-delete': (call, request) => backends.delete(call, request),
    'backend-test': (call, request) => backends.test(call, request),
    'rotation-list': (call) => rotations.list(call),
    'rotation-describe': (call, request) => rotations.describe(call, request),
    'rotation-status': (call, request) => rotations.status(call, request),
    'rotation-create': (call, request) => rotations.create(call, request),
    'rotation-apply': (call, request) => rotations.apply(call, request),
    'rotation-delete': (call, request) => rotations.delete(call, request),
    'rotation-plan': (call, request) => rotations.plan(call, request),
    'rotation-run': (call, request) => rotations.run(call, request),
    'rotation-done': (call, request) => rotations.done(call, request),
    'rotation-abort': (call, request) => rotations.abort(call, request),
    'rotation-retire': (call, request) => rotations.retire(call, request),
    'rotation-reconcile': (call, request) => rotations.reconcile(call, request),
    'key-status': (call) => keys.status(call),
    'key-rotate': (call, request) => keys.rotate(call, request),
    'key-rewrap': (call, request) => keys.rewrap(call, request),
    'key-check': (call) => keys.check(call),
    'key-add': (call, request) => keys.add(call, request),
    'key-remove': (call, request) => keys.remove(call, request),
    'branch-status': (call) => branch.status(call),
    'branch-adopt': (call, request) => branch.adopt(call, request),
    'migrate-plan': (call, request) => migration.plan(call, request),
    'migrate-secret': (call, request) => migration.move(call, request),
  }
}
