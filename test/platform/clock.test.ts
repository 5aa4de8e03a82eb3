/**
 * Invariant 13: nothing is decided by the clock of the day where a revision, a sequence or a timer can decide. What
 * reads that clock, or holds one date against another, stands here with its reason; all else has `Timers`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** Reads the clock other than as the default of a parameter. */
const reads = {
  'cli/terminal/process-io.ts': 'the clock that handlers are given',
  'server/backup/targets/s3-visit.ts':
    'what the clock of the service is, by the offset of this one',
  'server/identity/development.ts': 'whether a file may change again within the grain of its dates',
  'server/metrics/process.ts': 'a date for people: since when the process is there',
  'server/start/new-store.ts': 'a date for people: of a new store',
  'server/testing/test-server.ts': 'when the clock of a test begins, unless the test says so',
}

/** Holds dates against one another, or counts between them. */
const decides = {
  'audit/log.ts': 'a date for people: since when the disk does not answer, counted by the timers',
  'audit/page.ts': 'a question about dates, answered as the records say them',
  'audit/query.ts': 'a question about dates, answered as the records say them',
  'cli/handlers/backup-status.ts': 'a date for people: how long ago, and that a clock is ahead',
  'cli/handlers/doctor-host.ts': 'that the clock is behind what was written',
  'cli/handlers/doctor-network.ts': 'ends of certificates and keys, which are dates',
  'cli/handlers/run/follow.ts': 'how old a cache is, which outlives the timers',
  'client/api/times.ts': 'reads dates that people write',
  'client/store/contents.ts': 'what a cache is to forget, which outlives the timers',
  'client/store/file-cache.ts': 'what a process left a minute ago, by two dates of one file system',
  'client/store/kept.ts': 'how old a cache is, which outlives the timers',
  'client/store/store.ts': 'what a cache is to forget, which outlives the timers',
  'server/backup/name.ts': 'which of one revision is looked into first',
  'server/backup/restore/restore-copy.ts': 'a date for people: of a copy',
  'server/backup/retention.ts': 'days and months of backups, and which dates cannot be',
  'server/backup/schedule/job.ts': 'how old a backup of another process is, for a day at most',
  'server/backup/schedule/rehearsal.ts':
    'how old a proof of another process is, for one interval at most',
  'server/backup/targets/directory.ts':
    'what a process left a day ago, by two dates of one file system',
  'server/backup/targets/s3.ts': 'ends of locks, by the clock of the service',
  'server/backup/targets/s3-upload.ts':
    'what a process left a day ago, and ends of locks, by the service',
  'server/http/certificates/certificates.ts': 'the end of a certificate, which is a date',
  'server/http/certificates/key-pair.ts': 'the end of a certificate, which is a date',
  'server/http/certificates/file-certificates.ts': 'whether a file is another, not which is later',
  'server/http/certificates/tailnet-certificates.ts': 'the end of a certificate, which is a date',
  'server/identity/development.ts': 'whether a file is another, not which is later',
  'server/identity/tailscale/answers.ts': 'the end of a key of a node, which is a date',
  'server/identity/tailscale/caller.ts': 'the end of a key of a node, which is a date',
  'server/jobs/scheduler.ts': 'dates for people and metrics, counted by the timers',
  'server/operations/backend-login.ts': 'dates for people, counted by the timers',
  'server/operations/backups.ts': 'dates for metrics: of another process, unless they are ahead',
  'server/operations/rollout.ts':
    'a date for people: when a holder last spoke, counted by the timers',
  'server/operations/rotation-shown.ts': 'dates on which rotations are due, which are dates',
  'server/rotation/dates.ts': 'dates on which rotations are due, held against the timers',
  'server/rotation/job.ts': 'dates on which rotations are due, which are dates',
  'server/rotation/schedule.ts': 'dates on which rotations are due, which are dates',
  'server/start/server.ts': 'the end of a certificate, which is a date',
  'server/testing/test-server.ts': 'the clock of a test, moved by its timers',
  'server/vault/service-account.ts': 'the end of a token, which is a date that a cluster gave it',
  'server/vault/system.ts': 'dates for clients, which decide nothing here',
}

const files = ['client', 'audit', 'server', 'cli']
  .flatMap((top) =>
    readdirSync(top, { recursive: true, encoding: 'utf8' }).map((file) => join(top, file)),
  )
  .filter((file) => file.endsWith('.ts'))

/** Files that have `pattern` in a line which is not a comment. */
function having(pattern: RegExp): string[] {
  const isCode = (line: string): boolean => !/^\s*(?:\/?\*|\/\/)/.test(line)
  return files.filter((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .some((line) => isCode(line) && pattern.test(line)),
  )
}

test('U1: the clock of the day is a parameter, or read for a reason', () => {
  const isDefault = /clock(?:\??\.?\(\))? *(?:=|:|\?\?) \(?(?:\(\) => )?new Date\(\)/
  const found = having(/Date\.now\(|new Date\(\)|process\.hrtime|Temporal\.|CURRENT_TIMESTAMP/)
  const others = found.filter((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .some((line) => /Date\.now\(|new Date\(\)/.test(line) && !isDefault.test(line)),
  )
  expect(others.toSorted()).toEqual(Object.keys(reads).toSorted())
})

test('U1: what holds dates against one another is known', () => {
  const compared =
    /\.getTime\(\)|Date\.parse\(|\b[mc]timeMs\b|\.mtime\b|[<>]=? .*toISOString\(\)|(?:toISOString\(\)|\b(?:endsAt|beganAt|created|until)) [<>]=? /
  expect(having(compared).toSorted()).toEqual(Object.keys(decides).toSorted())
})
