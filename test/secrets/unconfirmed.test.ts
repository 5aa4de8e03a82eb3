/** What a disk that failed left in the log is not held against the store. */
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { nodeFiles } from '../../audit/files.ts'
import { bytes, startService } from '../support/service.ts'
import { temporaryDirectory } from '../support/sotto.ts'

test('B2: a change whose record was written and not confirmed is not missed at the next start', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  let isBad = false
  const auditFiles = {
    ...nodeFiles,
    create: async (path: string) => {
      const file = await nodeFiles.create(path)
      return {
        write: async (piece: Uint8Array, position: number) => {
          const written = await file.write(piece, position)
          if (isBad) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
          return written
        },
        truncate: (length: number) => file.truncate(length),
        sync: () => file.sync(),
        close: () => file.close(),
      }
    },
  }
  {
    await using service = await startService({ auditFiles }, { state })
    await service.client().put('prod/a', bytes('one'))
    isBad = true
    await expect(service.client().put('prod/b', bytes('two'))).rejects.toMatchObject({
      code: 'audit_unavailable',
    })
    isBad = false
    const later = (): Promise<number> => service.client().put('prod/c', bytes('three'))
    await vi.waitFor(later, { timeout: 30_000 })
  }
  await using again = await startService({}, { state })
  expect((await again.client().list()).map(({ Name }) => Name)).toEqual(['prod/a', 'prod/c'])
})
