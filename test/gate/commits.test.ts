/** Who is notified of a commit, however its outcome is found. */
import { expect, test } from 'vitest'
import type { AuditLog } from '../../audit/log.ts'
import { NewestIntents } from '../../audit/newest-intents.ts'
import { type ErrorCode, SottoError } from '../../client/api/errors.ts'
import type { SecretCache } from '../../server/catalog/cache.ts'
import { Commits, type Subject } from '../../server/gate/commits.ts'
import type { Store } from '../../server/store/contract.ts'

const intent = { id: 7, hash: 'c0ffee' }
const secret = { secret: 'prod/a' }

/** Commits over a store in which the intents `happened` are committed, and what its listeners and its log got. */
async function open(...happened: number[]) {
  const store: Pick<Store, 'identity' | 'head' | 'committed' | 'check' | 'remember'> = {
    identity: { branch: '00000000000000aa' } as Store['identity'],
    head: async () => ({ revision: 3, audit: null }),
    committed: async (ids) => new Set(ids.filter((id) => happened.includes(id))),
    check: async () => {},
    remember: async () => {},
  }
  const cache: Pick<SecretCache, 'drop' | 'doubt' | 'settle'> = {
    drop: () => {},
    doubt: () => {},
    settle: () => {},
  }
  const appended: unknown[] = []
  const log: Pick<AuditLog, 'settle' | 'append'> = {
    settle: () => {},
    append: async (entry) => {
      appended.push(entry)
      return intent
    },
  }
  const commits = await Commits.open({
    store: store as Store,
    cache: cache as SecretCache,
    openLog: async () => log as AuditLog,
    findRecord: async () => undefined,
    newestIntents: async () => new NewestIntents([], []),
    openMacs: async () => ({ from: 1 }),
  })
  const heard: Subject[] = []
  commits.whenCommitted((subject) => heard.push(subject))
  return { commits, heard, appended }
}

const failing = (code: ErrorCode) => async (): Promise<number> => {
  throw new SottoError(code, 'Cannot commit')
}

test('a commit is raised once, for every listener', async () => {
  const { commits, heard } = await open()
  commits.whenCommitted((subject) => heard.push(subject))
  await commits.carryOut(secret, intent, async () => 4)
  await commits.carryOut('keys', intent, async () => 5)
  expect(heard).toEqual([secret, secret, 'keys', 'keys'])
  await commits.close()
})

test('a commit that failed and is found to have happened is raised once, when it is found', async () => {
  const { commits, heard, appended } = await open(intent.id)
  const failed = commits.carryOut(secret, intent, failing('store_unavailable'))
  expect(heard).toEqual([])
  await expect(failed).rejects.toMatchObject({ code: 'store_unavailable' })
  await commits.close()
  expect(heard).toEqual([secret])
  expect(appended).toEqual([])
})

test.each(['store_unavailable', 'conflict'] as const)(
  'a commit that failed with %s and did not happen is not raised',
  async (code) => {
    const { commits, heard, appended } = await open()
    const failed = commits.carryOut(secret, intent, failing(code))
    await expect(failed).rejects.toMatchObject({ code })
    await commits.close()
    expect(heard).toEqual([])
    expect(appended).toMatchObject([{ kind: 'abandoned', of: intent.id }])
  },
)

test('what is read is as far as the changes that were acknowledged, and a change in doubt holds that back', async () => {
  const { commits } = await open(intent.id)
  expect(commits.position.text).toBe('00000000000000aa.3')
  const failed = commits.carryOut(secret, intent, failing('store_unavailable'))
  await commits.carryOut({ secret: 'prod/b' }, intent, async () => 5)
  expect(commits.position.text).toBe('00000000000000aa.3')
  await expect(failed).rejects.toMatchObject({ code: 'store_unavailable' })
  await commits.close()
  expect(commits.position).toMatchObject({ text: '00000000000000aa.5', revision: 5 })
})
