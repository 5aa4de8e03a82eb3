/** Logs whose batches have MACs, as the server left them and as somebody changed them. */
import { createHmac } from 'node:crypto'
import type { BatchKeys } from '../../../audit/batches.ts'
import { hashLine, macEnding } from '../../../audit/line.ts'
import type { Receipt } from '../../../audit/record.ts'
import type { VerifyReport } from '../../../audit/verify.ts'
import { keyedLog } from './logs.ts'
import { hashOf, linesOf, type Log, put, receipt, segment, type Vector } from './log-vector.ts'

/** The audit keys of the vectors, by number. */
const keys: Readonly<Record<string, string>> = { 1: '11'.repeat(32), 2: '22'.repeat(32) }

/** The same as the program takes them. */
export function keysOf(given: Readonly<Record<string, string>>): BatchKeys {
  const auditKeys = Object.keys(given)
    .map(Number)
    .toSorted((a, b) => b - a)
  return {
    auditKeys,
    auditMac(hashes, number = auditKeys[0] ?? 0) {
      const hmac = createHmac('sha256', Buffer.from(given[number] ?? '', 'hex'))
      for (const hash of hashes) hmac.update(hash, 'hex')
      return { number, mac: hmac.digest('hex') }
    },
  }
}

type Counts = Partial<Pick<VerifyReport, 'segments' | 'skipped' | 'unconfirmed' | 'macs'>>

/** The vectors by name. */
export async function macLogs(): Promise<[string, Vector][]> {
  const [one, two] = [keysOf({ 1: keys['1'] ?? '' }), keysOf(keys)]
  const log = await keyedLog({ lives: [one, two] })
  const upgraded = await keyedLog({ lives: [undefined, one] })
  const skipped = await keyedLog({ lives: [one, one], skipIds: 1000 })
  const end = receipt(log, 10)
  const added = forged(end, 2)
  const declared = await keyedLog({ lives: [two], left: put(log, 6, log.get(segment(6)) + added) })
  return [
    ['macs', whole('each batch has a MAC, by another key in the second segment', log, { macs: 8 })],
    [
      'macs-upgraded',
      whole('batches have MACs from the second segment on', upgraded, { macs: 5 }, 11),
    ],
    [
      'macs-declared',
      whole(
        'two records were added at the end, and a server continued from before them',
        declared,
        { macs: 12, segments: 3, unconfirmed: 2 },
      ),
    ],
    [
      'forged-end',
      damaged('two records were added at the end', put(log, 6, log.get(segment(6)) + added), 11),
    ],
    [
      'forged-end-mac',
      damaged(
        'two records were added at the end, the second with a MAC that somebody made up',
        put(log, 6, log.get(segment(6)) + forged(end, 2, 'ab'.repeat(32))),
        11,
      ),
    ],
    [
      'forged-gap',
      damaged(
        'a record was put where ids were skipped',
        put(skipped, 1, skipped.get(segment(1)) + forged(receipt(skipped, 5), 1)),
        6,
      ),
    ],
    ['forged-stripped', damaged('the MACs of the last segment were taken out', stripped(log), 6)],
    [
      'forged-old-key',
      damaged(
        'a segment has the key of before, as whoever had that key can make it',
        await keyedLog({ lives: [two, { ...two, auditKeys: [1, 2] }] }),
        6,
      ),
    ],
  ]
}

/** Lines that follow a record, as anybody can make them. */
function forged({ id, hash }: Receipt, count: number, mac?: string): string {
  let prev = hash
  let text = ''
  for (let next = id + 1; next <= id + count; next++) {
    const bare = `{"id":${next},"time":"2026-02-03T04:06:00.000Z","kind":"stop","version":"0.1.0","revision":8,"prev":"${prev}"}`
    const line =
      mac !== undefined && next === id + count ? bare.slice(0, -1) + macEnding(mac) : bare
    prev = hashLine(line)
    text += `${line}\n`
  }
  return text
}

function stripped(log: Log): Log {
  let prev: string | undefined
  const lines = linesOf(log, 6).map((line) => {
    const { mac: _, key: _k, macsFrom: _m, branch: _b, unproven: _u, ...record } = JSON.parse(line)
    const made = `${JSON.stringify(prev === undefined ? record : { ...record, prev })}\n`
    prev = hashOf(made)
    return made
  })
  return put(log, 6, lines)
}

function whole(about: string, log: Log, counts: Counts, last?: number): Vector {
  const lines = [...log.values()].flatMap((text) => text.split('\n').slice(0, -1))
  const end = JSON.parse(lines.at(-1) ?? '') as { id: number }
  const ids = lines.map((line) => (JSON.parse(line) as { id: number }).id)
  const report: VerifyReport = {
    ok: true,
    records: lines.length,
    segments: 2,
    first: receipt(log, 1),
    last: receipt(log, last ?? end.id),
    skipped: (ids.at(-1) ?? 0) - lines.length,
    unconfirmed: 0,
    lost: 0,
    torn: 0,
    ...counts,
  }
  return { log, expectation: { about, path: 'log', keys, report } }
}

function damaged(about: string, log: Log, id: number): Vector {
  const name = id >= 6 && log.has(segment(6)) ? segment(6) : segment(1)
  const line = id - Number(name.slice(0, 20)) + 1
  const damage = { damage: 'forged', segment: name, line, id } as const
  return { log, expectation: { about, path: 'log', keys, report: { ok: false, damage } } }
}
