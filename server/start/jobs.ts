/** The jobs of a server: each is added to its scheduler here. */
import { BACKUP_JOB } from '../backup/schedule/names.ts'
import type { BackupsConfig } from '../config/backups.ts'
import type { RotationsConfig } from '../config/rotations.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { Rotation, rotationJob } from '../keys/rotation.ts'
import { Backups } from '../operations/backups.ts'
import { MirrorJob } from '../mirror/job.ts'
import { Mirrors } from '../operations/mirrors.ts'
import { Rotations } from '../operations/rotations.ts'
import type { Logger } from '../platform/logger.ts'
import { processTimers, type Timers } from '../../client/platform/timers.ts'
import { ROTATIONS_JOB, rotationsJob } from '../rotation/job.ts'
import { kindsOn } from '../rotation/kinds/kinds.ts'
import { RotationRegistry } from '../rotation/registry.ts'
import { Runs } from '../rotation/runs.ts'
import { Dates } from '../rotation/dates.ts'
import { openSchedule, type Schedule } from '../rotation/schedule.ts'
import { orphansJob } from '../secrets/orphans.ts'
import { Targets } from '../rotation/targets.ts'
import type { StateDirectory } from '../store/directory.ts'
import type { Services } from './services.ts'

/** What jobs work with in addition to the services. */
export interface JobsWorld {
  readonly state: StateDirectory
  /** The keys that are available, in the order in which they are tried. */
  readonly providers: () => Promise<KeyProvider[]>
  readonly logger: Logger
  readonly timers?: Timers
  /** From 0 to 1. */
  readonly random?: () => number
}

/** What operators can ask of jobs. */
export interface Jobs {
  readonly rotation: Rotation
  readonly mirrors: Mirrors
  readonly backups: Backups
  readonly rotations: Rotations
}

/** Adds every job; they run by themselves once the scheduler is started. Rejects where the backups cannot be set up. */
export async function addJobs(
  services: Services,
  config: { readonly backups?: BackupsConfig } & RotationsConfig,
  world: JobsWorld,
): Promise<Jobs> {
  services.scheduler.add(orphansJob(services))
  return {
    rotation: addRotation(services, world),
    mirrors: addMirrors(services, world),
    backups: await addBackups(services, config.backups, world),
    rotations: addRotations(services, config, world),
  }
}

function addRotation(
  { gate, scheduler, locks, cache, registry, ...services }: Services,
  { providers, timers }: JobsWorld,
): Rotation {
  const rotation = new Rotation({
    ...services,
    providers,
    alone: (of, task) => {
      if (of === 'backends') return registry.changing(task)
      return locks.withLock(of.secret, () => task().finally(() => cache.drop(of.secret)))
    },
    ...(timers && { timers }),
  })
  scheduler.add(rotationJob(rotation, gate))
  return rotation
}

function addMirrors(services: Services, { timers = processTimers }: JobsWorld): Mirrors {
  const { open, scheduler, metrics, commits } = services
  const job = new MirrorJob({
    ...services,
    timers,
    metrics: metrics.mirrors,
    use: (id, act) => open.use(id, act),
    change: (id, act) => open.change(id, act),
  })
  scheduler.add(job.job())
  commits.whenCommitted((subject) => void job.committed(subject))
  return new Mirrors({ ...services, timers, job })
}

/** The rotations of secrets. What reads schedules is loaded for the first of them that has one. */
function addRotations(
  { adoption, scheduler, metrics, ...services }: Services,
  { rotationTargets: allowed = [], rotationCaFile: caFile }: RotationsConfig,
  { timers = processTimers, random = Math.random }: JobsWorld,
): Rotations {
  let opened: Promise<Schedule> | undefined
  const schedule = (): Promise<Schedule> => (opened ??= openSchedule())
  const rotations = new RotationRegistry(services.store, services.keyring)
  const targets = new Targets({ allowed, caFile })
  const kindOf = kindsOn(targets)
  const runs = new Runs({ ...services, registry: rotations, kindOf, timers, random })
  const { adopted } = adoption
  const parts = {
    ...services,
    adopted,
    runs,
    kindOf,
    targets,
    schedule,
    dates: new Dates(schedule, timers),
  }
  scheduler.add(
    rotationsJob({
      ...parts,
      registry: rotations,
      timers,
      metrics: metrics.rotations,
      wakeIn: (ms) => scheduler.wake(ROTATIONS_JOB, ms),
    }),
  )
  return new Rotations({ ...parts, rotations, begun: () => scheduler.wake(ROTATIONS_JOB) })
}

/** The jobs that make and prove backups. Their rooms are loaded only where backups are made. */
async function addBackups(
  services: Services,
  config: BackupsConfig | undefined,
  { state, providers, logger, timers = processTimers }: JobsWorld,
): Promise<Backups> {
  const { gate, scheduler, commits, metrics } = services
  if (config === undefined) return new Backups(gate, undefined)
  const { targetAt } = await import('../backup/targets/place.ts')
  const { BackupMemory } = await import('../backup/schedule/memory.ts')
  const { BackupJob } = await import('../backup/schedule/job.ts')
  const { place, keep, rehearsal } = config
  const target = targetAt(place)
  const memory = await BackupMemory.open(state.backups, target.description, timers)
  const parts = { ...services, target, memory, timers, keep, logger }
  const job = new BackupJob({ ...parts, log: commits.log, auditDirectory: state.audit })
  scheduler.add(job.job())
  commits.whenCommitted(() => scheduler.wake(BACKUP_JOB))
  if (rehearsal) {
    const { rehearsalJob } = await import('../backup/schedule/rehearsal.ts')
    const { everyMs, directory = state.path } = rehearsal
    scheduler.add(rehearsalJob({ ...parts, job, providers, directory, everyMs }))
  }
  const backups = new Backups(gate, { scheduler, job, target, keep, memory, clock: services.clock })
  backups.follow(metrics.backups)
  return backups
}
