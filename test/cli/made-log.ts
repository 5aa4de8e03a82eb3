/** Logs for the audit transcripts, written by the real writer: the same records at the same times. */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AuditLog } from '../../audit/log.ts'
import type { Entry } from '../../audit/record.ts'
import type { Principal } from '../../client/api/types.ts'

const alice: Principal = { hostname: 'laptop', ip: '127.0.0.3', user: 'alice@example.com' }
const app: Principal = { hostname: 'app-1', ip: '127.0.0.2', tags: ['tag:app', 'tag:prod'] }

/** Adds a record to the log that `makeLogs` made, as a server that starts does. */
export async function addRecord(directory: string): Promise<void> {
  await using log = await AuditLog.open({ ...options, directory: join(directory, 'log') })
  await log.append({ kind: 'start', version: '0.1.0' })
}

const options = { logId: '0'.repeat(32), revision: () => 0 }

/**
 * Makes the folders `log` (seven records in two segments), `damaged` (one of its bytes
 * changed) and `empty` in `directory`. Times begin at 2026-01-01, an hour between calls.
 */
export async function makeLogs(directory: string): Promise<void> {
  const path = join(directory, 'log')
  let hour = 0
  const log = await AuditLog.open({
    ...options,
    directory: path,
    clock: () => new Date(Date.UTC(2026, 0, 1, hour)),
    segmentBytes: 900,
  })
  const append = (entry: Entry) => {
    hour++
    return log.append(entry)
  }
  const authorized = true
  await append({ kind: 'start', version: '0.1.0' })
  await append({
    kind: 'change',
    request: 'r1',
    principal: alice,
    action: 'put',
    authorized,
    secret: 'prod/key',
    secretVersion: 1,
    verb: 'put',
  })
  const get = {
    kind: 'access',
    request: 'r2',
    action: 'get',
    authorized,
    secretVersion: 1,
  } as const
  await append({ ...get, principal: app, secret: 'prod/key', result: 'ok' })
  await append({ ...get, principal: alice, secret: 'team/\u001b[31mred', result: 'not-found' })
  await append({
    kind: 'access',
    request: 'r3',
    principal: app,
    action: 'get',
    authorized: false,
    secret: 'team/key',
    result: 'denied',
    reason: 'no rule',
  })
  await log.close()

  const damaged = join(directory, 'damaged')
  cpSync(path, damaged, { recursive: true })
  const segment = join(damaged, readdirSync(damaged)[0] as string)
  writeFileSync(segment, readFileSync(segment, 'utf8').replace('alice', 'alicf'))
  mkdirSync(join(directory, 'empty'))
}
