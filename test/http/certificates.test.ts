/** Certificates: what is refused, when they are looked for anew, and that the old one serves on. */
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SottoError } from '../../client/api/errors.ts'
import type { CertificateWorld } from '../../server/http/certificates/certificates.ts'
import { FileCertificates } from '../../server/http/certificates/file-certificates.ts'
import { checkKeyPair } from '../../server/http/certificates/key-pair.ts'
import type { CertificatePair } from '../../server/identity/tailscale/pair.ts'
import {
  type FetchPair,
  TailnetCertificates,
} from '../../server/http/certificates/tailnet-certificates.ts'
import { makePair } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { recordingLogger } from '../support/logger.ts'

const NAME = 'secrets.tail-test.ts.net'
const HOUR = 3_600_000
const DAY = 24 * HOUR
const start = new Date('2026-06-01T00:00:00Z')

/** A clock that only the test moves, and the one task that waits for it. */
function testWorld() {
  let now = start.getTime()
  let waiting: { ms: number; task: () => void } | undefined
  const said: string[] = []
  const world: CertificateWorld = {
    clock: () => new Date(now),
    schedule: (ms, task) => {
      const mine = { ms, task }
      waiting = mine
      return () => {
        if (waiting === mine) waiting = undefined
      }
    },
    logger: recordingLogger(said),
  }
  return {
    world,
    said,
    /** How long the next look is away. */
    next: () => waiting?.ms,
    /** Moves the clock to the next look, has it done, and resolves when the one after it is set. */
    pass: async () => {
      if (!waiting) throw new Error('nothing is planned')
      const { ms, task } = waiting
      waiting = undefined
      now += ms
      task()
      await expect.poll(() => waiting, { interval: 1 }).toBeDefined()
    },
    skip: (ms: number) => (now += ms),
  }
}

const pairFor = (days: number, from = start): CertificatePair =>
  makePair([NAME], {
    from: new Date(from.getTime() - HOUR),
    until: new Date(from.getTime() + days * DAY),
  })

describe('a pair', () => {
  const good = makePair([NAME])
  const now = new Date()
  const problem = (pair: Partial<CertificatePair>, at = now): string => {
    try {
      checkKeyPair({ ...good, ...pair }, { origin: 'of the test', now: at, name: NAME })
      return 'taken'
    } catch (error) {
      return error instanceof SottoError ? error.message : 'another error'
    }
  }

  test('that fits is taken, and says until when and for whom it is', () => {
    const checked = checkKeyPair(pairFor(30), { origin: 'of the test', now: start, name: NAME })
    expect(checked.endsAt).toEqual(new Date(start.getTime() + 30 * DAY))
    expect([checked.covers(NAME), checked.covers('other.tail-test.ts.net')]).toEqual([true, false])
  })

  test.each([
    [
      'the key of another',
      { key: makePair([NAME]).key },
      /its key belongs to another certificate$/,
    ],
    ['no certificate', { certificate: 'nonsense' }, /it is not a certificate in PEM form$/],
    ['no key', { key: 'nonsense' }, /its key is not a private key/],
    [
      'a key among the certificates',
      { certificate: good.certificate + good.key },
      /there is a private key among the certificates$/,
    ],
    ['another name', makePair(['other.example']), /it is not for "secrets\.tail-test\.ts\.net"$/],
    [
      'a broken chain',
      {
        certificate: `${good.certificate}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
      },
      /TLS does not take it$/,
    ],
  ])('with %s is refused', (_, pair, reason) => {
    expect(problem(pair)).toMatch(reason)
  })

  test('that ended, or has not begun, is refused', () => {
    expect(problem({}, new Date(now.getTime() + 91 * DAY))).toMatch(/it ended at \d{4}-/)
    expect(problem({}, new Date(now.getTime() - DAY))).toMatch(/it begins at \d{4}-.* only$/)
  })

  test('has no message that could hold the key', () => {
    const key = good.key.replace('PRIVATE KEY-----\n', 'PRIVATE KEY-----\n!')
    expect(problem({ key })).not.toContain(good.key.split('\n')[1])
  })
})

describe('the tailnet certificate', () => {
  /** A tailscaled that gives what the test says, and is asked what the test reads. */
  function issuer(first: CertificatePair) {
    const state = { answer: first as CertificatePair | Error, asked: [] as number[], name: NAME }
    const fetch: FetchPair = async (_, { minValidityMs }) => {
      state.asked.push(minValidityMs)
      if (state.answer instanceof Error) throw state.answer
      return state.answer
    }
    return { state, options: { fetch, name: () => state.name, random: () => 0.5 } }
  }

  test('is asked for every 12 hours and a little more, and swapped when there is a new one', async () => {
    const { world, next, pass, said } = testWorld()
    const { state, options } = issuer(pairFor(90))
    const certificates = await TailnetCertificates.open(options, world)
    const taken: CertificatePair[] = []
    certificates.onNew((pair) => taken.push(pair))
    expect(next()).toBe(12.5 * HOUR)
    await pass()
    expect([taken, said]).toEqual([[], []])
    const renewed = pairFor(120)
    state.answer = renewed
    await pass()
    expect(taken[0]?.certificate).toBe(renewed.certificate)
    expect(certificates.current.key).toBe(renewed.key)
    expect(said).toEqual([expect.stringContaining('serves until 2026-09-29T00:00:00.000Z')])
    // Whatever there is comes at once; a renewal that is due happens behind it.
    expect(state.asked).toEqual([0, 0, 0])
    certificates.close()
    expect(next()).toBeUndefined()
  })

  test('with less than ten days left is waited for', async () => {
    const { world, pass, skip } = testWorld()
    const { state, options } = issuer(pairFor(90))
    using certificates = closing(await TailnetCertificates.open(options, world))
    skip(79 * DAY)
    await pass()
    expect(state.asked.at(-1)).toBe(0)
    await pass()
    expect(state.asked.at(-1)).toBe(10 * DAY)
    await expect(certificates.check()).resolves.toBeUndefined()
  })

  test('serves on while the issuer refuses, is asked for again when the refusal says, and ends', async () => {
    const { world, next, pass, said, skip } = testWorld()
    const first = pairFor(20)
    const { state, options } = issuer(first)
    using certificates = closing(await TailnetCertificates.open(options, world))
    const limited = new SottoError('certificate_unavailable', 'the issuer refuses')
    state.answer = Object.assign(limited, { retryAfterMs: 3 * HOUR })
    await pass()
    expect(next()).toBe(3 * HOUR + 30_000)
    expect(certificates.current.certificate).toBe(first.certificate)
    expect(said).toEqual([
      'warn: the issuer refuses; the present certificate serves on until 2026-06-21T00:00:00.000Z',
    ])
    state.answer = new SottoError('tailscaled_unavailable', 'it is away')
    await pass()
    expect(next()).toBe(HOUR + 30_000)
    await expect(certificates.check()).resolves.toBeUndefined()
    skip(20 * DAY)
    await expect(certificates.check()).rejects.toThrow('ended at 2026-06-21T00:00:00.000Z')
  })

  test.each([
    ['for another name', makePair(['other.example'], { from: new Date(start.getTime() - DAY) })],
    ['that ended', makePair([NAME], { from: new Date(0), until: start })],
    ['whose key does not fit', { ...pairFor(90), key: pairFor(90).key }],
  ])('%s does not replace the one that serves', async (_, bad) => {
    const { world, pass, said } = testWorld()
    const first = pairFor(90)
    const { state, options } = issuer(first)
    using certificates = closing(await TailnetCertificates.open(options, world))
    state.answer = bad
    await pass()
    expect(certificates.current.certificate).toBe(first.certificate)
    expect(said).toEqual([expect.stringMatching(/^warn: /)])
  })

  test('that lives for days only is asked for in time', async () => {
    const { world, next, pass } = testWorld()
    const { state, options } = issuer(pairFor(1))
    using _ = closing(await TailnetCertificates.open(options, world))
    expect(next()).toBeLessThanOrEqual(7 * HOUR)
    // A third of its life is more than it has left at some time before its end.
    while ((state.asked.at(-1) ?? 0) === 0) await pass()
    expect(world.clock().getTime()).toBeLessThan(start.getTime() + DAY)
  })

  test('is got anew at once when the node has another name', async () => {
    const { world, next } = testWorld()
    const { state, options } = issuer(pairFor(90))
    using certificates = closing(await TailnetCertificates.open(options, world))
    certificates.refresh()
    expect(next()).toBe(12.5 * HOUR)
    state.name = 'vault.tail-test.ts.net'
    certificates.refresh()
    expect(next()).toBe(0)
  })

  test('that cannot be had at first is a failure to start', async () => {
    const { world } = testWorld()
    const { state, options } = issuer(pairFor(90))
    state.answer = new SottoError('certificate_unavailable', 'there is none')
    await expect(TailnetCertificates.open(options, world)).rejects.toThrow('there is none')
  })
})

describe('certificate files', () => {
  function files(pair: CertificatePair) {
    const directory = temporaryDirectory()
    const paths = {
      certificate: join(directory.path, 'tls.crt'),
      key: join(directory.path, 'tls.key'),
    }
    const write = ({ certificate, key }: CertificatePair): void => {
      for (const [path, text] of [
        [paths.certificate, certificate],
        [paths.key, key],
      ] as const) {
        writeFileSync(`${path}.new`, text, { mode: 0o600 })
        renameSync(`${path}.new`, path)
      }
    }
    write(pair)
    return { paths, write, [Symbol.dispose]: () => directory[Symbol.dispose]() }
  }

  test('that change are read anew; what cannot be used is told once, and the old pair serves on', async () => {
    const { world, pass, said } = testWorld()
    const [first, second] = [pairFor(90), pairFor(120)]
    using place = files(first)
    using certificates = closing(await FileCertificates.open(place.paths, world))
    await pass()
    expect([certificates.current.certificate, said]).toEqual([first.certificate, []])
    place.write({ ...second, key: first.key })
    await pass()
    await pass()
    expect(certificates.current.certificate).toBe(first.certificate)
    expect(said).toEqual([
      expect.stringMatching(
        /^error: .* belongs to another certificate; the one from before serves on until/,
      ),
    ])
    place.write(second)
    await pass()
    expect(certificates.current.certificate).toBe(second.certificate)
    rmSync(place.paths.key)
    await pass()
    expect(certificates.current.certificate).toBe(second.certificate)
    expect(said.at(-1)).toMatch(
      /^error: Cannot read the TLS key ".*tls\.key": there is no such file; the one from before/,
    )
  })

  test.each([-start.getTime(), 365 * DAY, -DAY])(
    'U1: that came while the clock was wrong by %i ms serve once it is right',
    async (wrong) => {
      const { world, pass, skip } = testWorld()
      const first = pairFor(30)
      const next = pairFor(60)
      using place = files(first)
      using certificates = closing(await FileCertificates.open(place.paths, world))
      skip(wrong)
      place.write(next)
      await pass()
      const refused = certificates.current.certificate === first.certificate
      skip(-wrong)
      await pass()
      expect({ refused, now: certificates.current.certificate }).toEqual({
        refused: true,
        now: next.certificate,
      })
    },
  )

  test('whose key every user can use are refused', async () => {
    const { world } = testWorld()
    using place = files(pairFor(90))
    chmodSync(place.paths.key, 0o644)
    await expect(FileCertificates.open(place.paths, world)).rejects.toMatchObject({
      code: 'key_exposed',
    })
    chmodSync(place.paths.key, 0o640)
    closing(await FileCertificates.open(place.paths, world))[Symbol.dispose]()
  })
})

/** Closes at the end of the scope. */
function closing<T extends { close(): void }>(it: T): T & Disposable {
  return Object.assign(it, { [Symbol.dispose]: () => it.close() })
}
