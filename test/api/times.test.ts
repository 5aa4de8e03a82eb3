/** U15: one grammar of moments and one of lengths of time, for flags, settings and the API. */
import { describe, expect, test } from 'vitest'
import { parseArguments } from '../../cli/arguments.ts'
import { commandTable } from '../../cli/commands.ts'
import { Invocation } from '../../cli/invocation.ts'
import { processIo } from '../../cli/terminal/process-io.ts'
import { operations } from '../../client/api/operations.ts'
import { durationOf, momentOf, parseDuration, parseMoment } from '../../client/api/times.ts'
import { readServerConfig } from '../../server/config/config.ts'

const moments = [
  ['2026-01-31', '2026-01-31T00:00:00.000Z'],
  ['2024-02-29', '2024-02-29T00:00:00.000Z'],
  ['2026-01-31T18:00', '2026-01-31T18:00:00.000Z'],
  ['2026-01-31T18:00:05Z', '2026-01-31T18:00:05.000Z'],
  ['2026-01-31t18:00:05z', '2026-01-31T18:00:05.000Z'],
  ['2026-01-31 18:00:05', '2026-01-31T18:00:05.000Z'],
  ['2026-01-31 18:00:05 UTC', '2026-01-31T18:00:05.000Z'],
  ['2026-01-31T18:00:05.123456789Z', '2026-01-31T18:00:05.123Z'],
  ['2026-01-31T18:00:05.1Z', '2026-01-31T18:00:05.100Z'],
  ['2026-01-31T18:00:05,5Z', '2026-01-31T18:00:05.500Z'],
  ['2026-01-31T18:00:05.999999999Z', '2026-01-31T18:00:05.999Z'],
  ['2026-01-31T18:00:05+01:00', '2026-01-31T17:00:05.000Z'],
  ['2026-01-31T18:00:05+0100', '2026-01-31T17:00:05.000Z'],
  ['2026-01-31 18:00:05 +0100', '2026-01-31T17:00:05.000Z'],
  ['2026-01-31 18:00:05 -07', '2026-02-01T01:00:05.000Z'],
  ['2026-01-31T18:00:05+05:30', '2026-01-31T12:30:05.000Z'],
  ['2026-12-31T23:59:59-00:00', '2026-12-31T23:59:59.000Z'],
  // As the name of a backup has it.
  ['20260131T180005.123Z', '2026-01-31T18:00:05.123Z'],
  ['20260131T1800', '2026-01-31T18:00:00.000Z'],
  // As `journalctl -o short-full` and `systemctl status` print it.
  ['Sat 2026-01-31 18:00:05 UTC', '2026-01-31T18:00:05.000Z'],
  // As programs in Go print a time that nobody gave a format.
  ['2026-01-31 18:00:05.123456789 +0000 UTC', '2026-01-31T18:00:05.123Z'],
  ['2026-01-31 18:00:05 +0100 CET', '2026-01-31T17:00:05.000Z'],
] as const

const noMoments = [
  '2026-02-30',
  '2026-02-29',
  '2026-04-31T10:00:00Z',
  '2026-13-01',
  '2026-00-10',
  '2026-01-00',
  '2026-01-31T24:00:00Z',
  '2026-01-31T23:60:00Z',
  '2026-01-31T23:59:60Z',
  '2026-01-31T18',
  '2026-01-31T18:00:05+24:00',
  '2026-01-31T18:00:05+01:60',
  '2026-01-31Z',
  '2026-01-31T18:00:05 CET',
  '01/02/2026',
  '31.01.2026',
  '2026-1-31',
  '26-01-31',
  '20260131',
  '202601-31T18:00',
  '20260230T180005Z',
  'Sat 31 Jan 2026 18:00:05',
  '2026-01-31 18:00:05 UTC CET',
  '1769882405',
  'Sat, 31 Jan 2026 18:00:05 GMT',
  'yesterday',
  '-1d',
  ' 2026-01-31',
  '',
]

test.each(moments)('U15: the moment %j is %s', (text, expected) => {
  expect(parseMoment(text)?.toISOString()).toBe(expected)
})

test.each(noMoments)('U15: %j is not a moment', (text) => {
  expect(parseMoment(text)).toBeUndefined()
})

const HOUR = 3_600_000

const durations = [
  ['90s', 90_000],
  ['1h30m', 1.5 * HOUR],
  ['1h 30m', 1.5 * HOUR],
  ['1.5h', 1.5 * HOUR],
  ['2d', 48 * HOUR],
  ['1w', 168 * HOUR],
  ['1w2d3h4m5s6ms', 168 * HOUR + 48 * HOUR + 3 * HOUR + 245_006],
  ['500ms', 500],
  ['0.25s', 250],
  ['0s', 0],
] as const

const noDurations = [
  '90',
  '1.5',
  '30m1h',
  '1h1h',
  '1M',
  '1y',
  '1mo',
  '2D',
  '1,5h',
  '.5h',
  '-1h',
  '+1h',
  '1e3s',
  'h',
  '1h30',
  'PT1H',
  ' 1h',
  '1  h',
  '',
]

test.each(durations)('U15: %j is %d ms', (text, expected) => {
  expect(parseDuration(text)).toBe(expected)
})

test.each(noDurations)('U15: %j is not a length of time', (text) => {
  expect(parseDuration(text)).toBeUndefined()
})

describe('U15: every place that takes one', () => {
  const now = Date.parse('2026-06-01T00:00:00Z')

  test('a flag for a moment takes all of them, and an age', () => {
    for (const [text, expected] of moments) {
      expect(momentOf('since', text, now).toISOString()).toBe(expected)
    }
    for (const [text, ms] of durations) {
      expect(momentOf('since', text, now).getTime()).toBe(now - ms)
    }
  })

  test('what is neither is refused with an example', () => {
    for (const text of [...noMoments.filter((each) => !/^\d+$/.test(each)), '99999999w']) {
      expect(() => momentOf('since', text, now)).toThrow(
        expect.objectContaining({
          code: 'usage',
          message: expect.stringContaining('as --since') as string,
          hint: expect.stringContaining('2026-01-31T18:00:00Z') as string,
        }),
      )
    }
  })

  test('the API takes and refuses the same moments', () => {
    const { request } = operations['audit-query']
    const taken = (Since: string) => request.safeParse({ Since, Until: Since }).success
    for (const [text] of moments) expect([text, taken(text)]).toEqual([text, true])
    for (const text of noMoments) expect([text, taken(text)]).toEqual([text, false])
  })

  const settings = {
    '--stale-after': (text: string) => {
      const config = readServerConfig(['--state-dir', '/s', `--stale-after=${text}`], {})
      return 'tailscaled' in config && config.tailscaled.staleAfterMs
    },
    '--rehearse-every': (text: string) => {
      const args = ['--state-dir', '/s', '--backup-to', '/b', `--rehearse-every=${text}`]
      return readServerConfig(args, {}).backups?.rehearsal?.everyMs
    },
    '--timeout': (text: string) => {
      const parsed = parseArguments([`--timeout=${text}`], commandTable.globalFlags)
      return new Invocation(parsed, processIo(), {}).timeoutMs
    },
  }

  test.each(Object.entries(settings))('%s', (flag, read) => {
    for (const [text, ms] of [...durations].filter((each) => each[1] >= 60_000)) {
      expect([text, read(text)]).toEqual([text, ms])
    }
    for (const text of noDurations.filter((each) => each.trim() !== '' && !/^[\d.]+$/.test(each))) {
      expect(() => read(text)).toThrow(
        expect.objectContaining({
          code: 'usage',
          message: expect.stringContaining(`as ${flag}: expected`) as string,
          hint: expect.stringContaining('1h30m') as string,
        }),
      )
    }
  })

  test('a lock is for whole days', () => {
    const days = (text: string) => {
      const args = ['--state-dir', '/s', '--backup-to', 's3://bucket', '--backup-lock', text]
      const place = readServerConfig(args, {}).backups?.place
      return place?.kind === 's3' && place.lock?.days
    }
    expect(['governance:30d', 'compliance:4w', 'governance:48h'].map(days)).toEqual([30, 28, 2])
    for (const text of ['governance:12h', 'governance:0d', 'governance:30', 'other:30d']) {
      expect(() => days(text)).toThrow(/as --backup-lock/)
    }
  })

  test('only the flag that always was of seconds takes a number alone', () => {
    expect(settings['--timeout']('2')).toBe(2000)
    expect(settings['--timeout']('0.5')).toBe(500)
    expect(() => settings['--stale-after']('600')).toThrow(/as --stale-after: expected/)
    expect(() => durationOf('timeout', '25d', ['1ms', '24d'])).toThrow('expected 1ms to 24d')
  })
})
