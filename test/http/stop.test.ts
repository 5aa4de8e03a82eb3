/** A stop: what was accepted is finished, what is new is refused, what is idle does not hold it up. */
import { describe, expect, test } from 'vitest'
import { type FaultyFiles, faultyFiles } from '../support/faulty-files.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { RawConnection, requestText } from './raw.ts'

/** A server with a secret, whose disk hangs from now on. */
async function hanging(world = {}): Promise<{ service: Service; disk: FaultyFiles }> {
  const disk = faultyFiles()
  const service = await startService({ auditFiles: disk.files, ...world })
  await service.client().put('prod/a', bytes('one'))
  disk.set('hangs')
  return { service, disk }
}

/** Resolves when the server has `count` more writes under way than there were at `before`. */
async function underway(disk: FaultyFiles, before: number): Promise<void> {
  await expect.poll(() => disk.writes()).toBeGreaterThan(before)
}

describe('a stop', () => {
  test('is not held up by connections that are idle, fresh ones among them', async () => {
    const service = await startService({ limits: { stopTimeout: 60_000 } })
    const fresh = await RawConnection.open(service.url)
    const used = await RawConnection.open(service.url)
    const half = await RawConnection.open(service.url)
    await used.ask({ body: '{}' })
    half.send('POST /api/get HTT')
    const began = performance.now()
    await service[Symbol.asyncDispose]()
    expect(performance.now() - began).toBeLessThan(30_000)
    await Promise.all([fresh.closed, used.closed, half.closed])
  })

  test('finishes every request that was sent ahead, and says with the last that it was that', async () => {
    const { service, disk } = await hanging()
    using connection = await RawConnection.open(service.url)
    const before = disk.writes()
    connection.send(requestText().repeat(3))
    await underway(disk, before)
    const stopped = service.server.stop()
    disk.set('works')
    const answers = await connection.answers()
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(answers.map(({ headers }) => headers.get('connection'))).toEqual([
      'keep-alive',
      'keep-alive',
      'close',
    ])
    await stopped
  })

  test('refuses what comes on a connection that is still owed an answer', async () => {
    const { service, disk } = await hanging()
    using connection = await RawConnection.open(service.url)
    const before = disk.writes()
    connection.send(requestText())
    await underway(disk, before)
    const stopped = service.server.stop()
    connection.send(requestText())
    await expect
      .poll(() => service.said.join('\n'))
      .toMatch(/^warn: request .* failed: shutting_down: /m)
    disk.set('works')
    const [first, second, ...more] = await connection.answers()
    expect([first?.status, second?.status, more]).toEqual([200, 503, []])
    expect(second?.body).toBe('server is shutting down\n')
    expect(second?.headers.get('retry-after')).toBe('1')
    await stopped
  })

  test('cuts off what does not end within its limit', async () => {
    const { service, disk } = await hanging({ limits: { stopTimeout: 200 }, waitMs: 2000 })
    using connection = await RawConnection.open(service.url)
    const before = disk.writes()
    connection.send(requestText())
    await underway(disk, before)
    const stopped = service.server.stop()
    expect(await connection.answers()).toEqual([])
    disk.set('works')
    await stopped
  })
})
