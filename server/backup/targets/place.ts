/** Opens the place where backups are kept. */
import { directoryTarget } from './directory.ts'
import { s3Target } from './s3.ts'
import type { BackupPlace, BackupTarget } from './target.ts'

/** The target at `place`. */
export function targetAt(place: BackupPlace): BackupTarget {
  return place.kind === 'directory' ? directoryTarget(place.path) : s3Target(place)
}
