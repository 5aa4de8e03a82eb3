/** The jobs of a server: each is added to its scheduler here. */
import { BACKUP_JOB } from '../backup/schedule/names.ts'
import type { BackupsConfig } from '../config/backups.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { Rotation, rotationJob } from '../keys/rotation.ts'
import { openKeyring } from '../keys/wraps.ts'
import { Backups } from '../operations/backups.ts'
import { MirrorJob } from '../mirror/job.ts'
import { Mirrors } from '../operations/mirrors.ts'
import { processTimers, type Timers } from '../platform/timers.ts'
import { orphansJob } from '../secrets/orphans.ts'
import type { StateDirectory } from '../store/directory.ts'
import type { Services } from './services.ts'

/** What jobs work with in addition to the services. */
export interface JobsWorld {
  readonly state: StateDirectory
  /** The keys that are available, in the order in which they are tried. */
  readonly providers: () => Promise<KeyProvider[]>
  readonly say: (line: string) => void
  readonly timers?: Timers
}

/** What operators can ask of jobs. */
export interface Jobs {
  readonly rotation: Rotation
  readonly mirrors: Mirrors
  readonly backups: Backups
}

/** Adds every job; from then on they run by themselves. Rejects where the backups cannot be set up. */
export async function addJobs(
  services: Services,
  backups: BackupsConfig | undefined,
  world: JobsWorld,
): Promise<Jobs> {
  services.scheduler.add(orphansJob(services))
  return {
    rotation: addRotation(services, world),
    mirrors: addMirrors(services, world),
    backups: await addBackups(services, backups, world),
  }
}

function addRotation(
  { store, keyring, gate, scheduler, clock }: Services,
  { providers, timers }: JobsWorld,
): Rotation {
  const openAnew = async () => openKeyring(store.identity.id, await store.keys(), await providers())
  const rotation = new Rotation({ store, keyring, openAnew, clock, ...(timers && { timers }) })
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
  })
  scheduler.add(job.job())
  commits.whenCommitted((subject) => void job.committed(subject))
  return new Mirrors({ ...services, timers, job })
}

/** The jobs that make and prove backups. Their rooms are loaded only where backups are made. */
async function addBackups(
  services: Services,
  config: BackupsConfig | undefined,
  { state, providers, say }: JobsWorld,
): Promise<Backups> {
  const { gate, scheduler, commits, metrics } = services
  if (config === undefined) return new Backups(gate, undefined)
  const { targetAt } = await import('../backup/targets/place.ts')
  const { BackupMemory } = await import('../backup/schedule/memory.ts')
  const { BackupJob } = await import('../backup/schedule/job.ts')
  const { place, keep, rehearsal } = config
  const target = targetAt(place)
  const memory = await BackupMemory.open(state.backups)
  const parts = { ...services, target, memory }
  const job = new BackupJob({ ...parts, keep, say, log: commits.log, auditDirectory: state.audit })
  scheduler.add(job.job())
  commits.whenCommitted(() => scheduler.wake(BACKUP_JOB))
  if (rehearsal) {
    const { rehearsalJob } = await import('../backup/schedule/rehearsal.ts')
    const { everyMs, directory = state.path } = rehearsal
    scheduler.add(rehearsalJob({ ...parts, providers, directory, everyMs }))
  }
  const backups = new Backups(gate, { scheduler, job, target, keep, memory })
  backups.follow(metrics.backups)
  return backups
}
