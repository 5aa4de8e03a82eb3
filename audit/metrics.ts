/** The metrics of the audit log. */
import { join } from 'node:path'
import type { Counter, Gauge, Histogram } from '../server/metrics/instruments.ts'
import { Registry, WAIT_SECONDS } from '../server/metrics/registry.ts'
import type { FileSystem } from './files.ts'
import type { Batch } from './queue.ts'
import { listSegments, segmentName } from './segment.ts'

/** What the log notes; its methods do. */
export type LogMetrics = Readonly<
  Record<'batches' | 'records' | 'bytes' | 'failures' | 'lost', Counter> &
    Record<'waiting' | 'up' | 'lowSpace' | 'segments' | 'diskBytes' | 'freeBytes', Gauge> &
    Record<'syncSeconds', Histogram>
>

/** Defines the metrics of a log. */
export function logMetrics(registry: Registry = new Registry()): LogMetrics {
  return {
    up: registry.gauge({
      name: 'sotto_audit_up',
      help: 'Whether the audit log can be written: while it is 0 no value leaves and nothing changes.',
    }),
    batches: registry.counter({
      name: 'sotto_audit_batches_total',
      help: 'Writes to the audit log that became durable, each with the records of all who waited for it.',
    }),
    records: registry.counter({
      name: 'sotto_audit_records_total',
      help: 'Audit records that became durable, the header of each segment among them.',
    }),
    bytes: registry.counter({
      name: 'sotto_audit_written_bytes_total',
      help: 'Bytes of the records in those writes, headers left out.',
    }),
    syncSeconds: registry.histogram({
      name: 'sotto_audit_sync_seconds',
      help: 'How long a write to the audit log took until it was durable.',
      buckets: WAIT_SECONDS,
    }),
    failures: registry.counter({
      name: 'sotto_audit_failures_total',
      help: 'Writes to the audit log, and attempts to begin a segment, that failed.',
    }),
    lost: registry.counter({
      name: 'sotto_audit_lost_records_total',
      help: 'Records of acts that revealed nothing and could not be written; the log has their number.',
    }),
    waiting: registry.gauge({
      name: 'sotto_audit_waiting_records',
      help: 'Records that wait for a write that has not begun.',
    }),
    lowSpace: registry.gauge({
      name: 'sotto_audit_low_space',
      help: 'Whether the free space is below the reserve, so that refusals are only counted.',
    }),
    segments: registry.gauge({
      name: 'sotto_audit_segments',
      help: 'Files of the audit log in its folder.',
    }),
    diskBytes: registry.gauge({
      name: 'sotto_audit_disk_bytes',
      help: 'Bytes of those files.',
    }),
    freeBytes: registry.gauge({
      name: 'sotto_audit_free_bytes',
      help: 'Bytes that can still be written to the file system of the audit log.',
    }),
  }
}

/** Notes a batch that was durable after `ms` milliseconds. */
export function noteBatch(
  { batches, records, bytes, syncSeconds }: LogMetrics,
  batch: Batch,
  ms: number,
): void {
  batches.add()
  records.add(batch.items.length)
  bytes.add(batch.bytes.byteLength)
  syncSeconds.observe(ms / 1000)
}

/** Has the sizes of the log in `directory` read before each page, off the event loop. */
export function followFolder(
  registry: Registry,
  { segments, diskBytes, freeBytes }: LogMetrics,
  files: FileSystem,
  directory: string,
): void {
  // Segments that are full do not change, and are looked at once.
  let known = new Map<number, number>()
  registry.source([segments, diskBytes, freeBytes], async () => {
    const ids = await listSegments(files, directory)
    const sizes = new Map<number, number>()
    for (const [index, id] of ids.entries()) {
      const full = index < ids.length - 2 ? known.get(id) : undefined
      // 0 for one that was moved away meanwhile.
      sizes.set(id, full ?? (await files.size(join(directory, segmentName(id)))) ?? 0)
    }
    known = sizes
    segments.set(ids.length)
    diskBytes.set([...sizes.values()].reduce((sum, size) => sum + size, 0))
    freeBytes.set(await files.freeBytes(directory))
  })
}
