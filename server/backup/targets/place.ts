/** Where backups are kept, as plain data. */
import { directoryTarget } from './directory.ts'
import { s3Target } from './s3.ts'
import type { S3Place } from './s3-place.ts'
import type { BackupTarget } from './target.ts'

/** Where backups are kept. */
export type BackupPlace =
  | { readonly kind: 'directory'; readonly path: string }
  | ({ readonly kind: 's3' } & S3Place)

/** The target at `place`. */
export function targetAt(place: BackupPlace): BackupTarget {
  return place.kind === 'directory' ? directoryTarget(place.path) : s3Target(place)
}
