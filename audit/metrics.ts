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
      help: '1 while the audit log can be written.',
    }),
    batches: registry.counter({
      name: 'sotto_audit_batches_total',
      help: 'Durable writes to the audit log.',
    }),
    records: registry.counter({
      name: 'sotto_audit_records_total',
      help: 'Durable audit records.',
    }),
    bytes: registry.counter({
      name: 'sotto_audit_written_bytes_total',
      help: 'Bytes of durable audit records.',
    }),
    syncSeconds: registry.histogram({
      name: 'sotto_audit_sync_seconds',
      help: 'Time until a write to the audit log was durable.',
      buckets: WAIT_SECONDS,
    }),
    failures: registry.counter({
      name: 'sotto_audit_failures_total',
      help: 'Writes to the audit log that failed.',
    }),
    lost: registry.counter({
      name: 'sotto_audit_lost_records_total',
      help: 'Records that revealed nothing and could only be counted.',
    }),
    waiting: registry.gauge({
      name: 'sotto_audit_waiting_records',
      help: 'Audit records that wait to be written.',
    }),
    lowSpace: registry.gauge({
      name: 'sotto_audit_low_space',
      help: '1 while refusals are only counted, for lack of space.',
    }),
    segments: registry.gauge({
      name: 'sotto_audit_segments',
      help: 'Files of the audit log.',
    }),
    diskBytes: registry.gauge({
      name: 'sotto_audit_disk_bytes',
      help: 'Size of the audit log.',
    }),
    freeBytes: registry.gauge({
      name: 'sotto_audit_free_bytes',
      help: 'Free bytes on the disk of the audit log.',
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
      const size = full ?? (await files.size(join(directory, segmentName(id))).catch(() => 0))
      // 0 for one that was moved away meanwhile, or cannot be looked at.
      sizes.set(id, size ?? 0)
    }
    known = sizes
    segments.set(ids.length)
    diskBytes.set([...sizes.values()].reduce((sum, size) => sum + size, 0))
    freeBytes.set(await files.freeBytes(directory))
  })
}
