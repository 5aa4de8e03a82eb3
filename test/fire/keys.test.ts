/**
 * `sotto key add` and `key remove` are killed at random instants. Whatever the instant, the change came
 * to pass whole or not at all, the log tells which, and the store opens.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { verifyLog } from '../../audit/verify.ts'
import { createKeyFile } from '../../server/crypto/local-key.ts'
import { withKeys } from '../../server/start/offline.ts'
import { depth } from '../support/depth.ts'
import { TestProcess } from '../support/process.ts'
import { bytes, type Line, recordsIn, startService } from '../support/service.ts'
import { cli, temporaryDirectory } from '../support/sotto.ts'

const ROUNDS = depth({ usual: 12, full: 25 })

test('a key command that is killed leaves a store that opens, and a log that tells its keys', async () => {
  using scratch = temporaryDirectory()
  const state = join(scratch.path, 'state')
  const file = join(scratch.path, 'second.key')
  const second = await createKeyFile(file)
  {
    await using service = await startService({}, { state })
    await service.client().put('prod/a', bytes('one'))
  }
  const keys = (): Promise<string[]> =>
    withKeys({ stateDir: state, keyFile: undefined }, { operator: 'test' }, async ({ wraps }) =>
      (await wraps.status()).map(({ fingerprint }) => fingerprint).toSorted(),
    )
  const [first = ''] = await keys()

  /** Runs the command that adds the second key, or takes it out; resolves with how long it took. */
  const change = async (verb: 'add' | 'remove', killAfterMs?: number): Promise<number> => {
    const args = verb === 'add' ? ['add', 'local', '--new-key-file', file] : ['remove', second]
    const begun = performance.now()
    const command = new TestProcess(process.execPath, [cli, 'key', ...args, '--state-dir', state])
    const timer = killAfterMs && setTimeout(() => command.signal('SIGKILL'), killAfterMs)
    await command.exited
    clearTimeout(timer)
    return performance.now() - begun
  }

  const wholeMs = await change('add')
  expect(await keys()).toEqual([first, second].toSorted())
  const ends = { before: 0, after: 0 }
  for (let round = 0; round < ROUNDS; round++) {
    const before = await keys()
    const verb = before.includes(second) ? 'remove' : 'add'
    // The first half of a run loads the program, and changes nothing yet.
    const killAfterMs = wholeMs * (0.5 + 0.7 * Math.random())
    await change(verb, killAfterMs)
    const found = await keys()
    const after = verb === 'add' ? [first, second].toSorted() : [first]
    const where = `round ${round}: ${verb}, killed after ${killAfterMs} ms`
    expect([before, after], where).toContainEqual(found)
    ends[found.length === before.length ? 'before' : 'after']++
    {
      await using service = await startService({}, { state })
      const { Value } = await service.client().get('prod/a')
      expect(Buffer.from(Value).toString(), where).toBe('one')
    }
    expect((await verifyLog(join(state, 'audit'))).damage, where).toBeUndefined()
    expect(told(recordsIn(join(state, 'audit')), first), where).toEqual(found)
  }
  const abandoned = recordsIn(join(state, 'audit')).filter(
    ({ kind }) => kind === 'abandoned',
  ).length
  console.info(
    `killed before the change ${ends.before} times, after it ${ends.after} times, in between ${abandoned} times`,
  )
})

/** The keys that open the store, as its log tells. */
function told(log: readonly Line[], first: string): string[] {
  const abandoned = new Set(log.filter(({ kind }) => kind === 'abandoned').map(({ of }) => of))
  const open = new Set([first])
  for (const { id, kind, verb, fingerprint } of log) {
    if (kind !== 'key' || abandoned.has(id)) continue
    if (verb === 'add') open.add(String(fingerprint))
    else open.delete(String(fingerprint))
  }
  return [...open].toSorted()
}
