/** The table of operations: what answers each that a caller can ask for. */
import type { Operations } from '../http/app.ts'
import type { AuditQueries } from '../operations/audit.ts'
import { Backends } from '../operations/backends.ts'
import { Jobs as JobOperations } from '../operations/jobs.ts'
import { Keys } from '../operations/keys.ts'
import { Migration } from '../operations/migration.ts'
import type { Jobs, JobsWorld } from './jobs.ts'
import type { Services } from './services.ts'

/** What answers the operations in addition to the services. */
export interface OperationsParts extends Jobs, Pick<JobsWorld, 'providers'> {
  readonly audit: AuditQueries
}

/** Builds the table. */
export function operationsOf(
  services: Services,
  { audit, mirrors, backups, rotation, providers }: OperationsParts,
): Operations {
  const { gate, scheduler } = services
  const jobs = new JobOperations(scheduler, gate)
  const backends = new Backends(services)
  const begun = (): void => scheduler.wake('rotation')
  const keys = new Keys({ ...services, rotation, providers, begun })
  const migration = new Migration(services)
  return {
    'audit-query': (call, request) => audit.ask(call, request),
    'job-status': (call) => jobs.status(call),
    'job-run': (call, request) => jobs.run(call, request),
    'mirror-status': (call, request) => mirrors.status(call, request),
    'mirror-sync': (call, request) => mirrors.sync(call, request),
    'mirror-plan': (call, request) => mirrors.plan(call, request),
    'backup-create': (call) => backups.create(call),
    'backup-status': (call) => backups.status(call),
    'backend-list': (call) => backends.list(call),
    'backend-describe': (call, request) => backends.describe(call, request),
    'backend-create': (call, request) => backends.create(call, request),
    'backend-apply': (call, request) => backends.apply(call, request),
    'backend-delete': (call, request) => backends.delete(call, request),
    'backend-test': (call, request) => backends.test(call, request),
    'key-status': (call) => keys.status(call),
    'key-rotate': (call) => keys.rotate(call),
    'key-rewrap': (call, request) => keys.rewrap(call, request),
    'migrate-plan': (call, request) => migration.plan(call, request),
    'migrate-secret': (call, request) => migration.move(call, request),
  }
}
