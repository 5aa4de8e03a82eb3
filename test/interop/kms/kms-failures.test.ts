/**
 * Plays failures.txt: what an operator reads when KMS, its key or the way in is not what it should be. What is
 * refused is refused within a bound, and changes nothing in the store.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { type Answered, environmentOf, inProcess, play, type Played } from '../../cli/play.ts'
import { readTranscript, type Variables } from '../../cli/transcript.ts'
import { type FaultyKms, startFaultyKms } from '../../support/faulty-kms.ts'
import { describeWith } from '../../support/peers.ts'
import { temporaryDirectory } from '../../support/sotto.ts'
import { credentials, type Moto, startMoto } from './moto.ts'

/** With all attempts. */
const BOUND_MS = 25_000

describeWith(['kms-python'], 'transcripts', () => {
  test('failures.txt', { timeout: 300_000 }, async ({ onTestFinished }) => {
    // Commands run in this process, where the SDK looks for credentials.
    for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value)
    onTestFinished(() => void vi.unstubAllEnvs())
    using scratch = temporaryDirectory()
    const dir = scratch.path
    await using moto = await startMoto()
    await using kms = await startFaultyKms(moto.url)
    const key = await moto.createKey()
    const multi = await moto.createKey({ multiRegion: true })
    const variables: Variables = new Map([
      ['dir', dir],
      ['key', key],
      ['kms', kms.url],
      ['second', await moto.createKey()],
      ['multi', multi],
      ['replica', await moto.replicate(multi, 'eu-west-1')],
      ['signing', await moto.createKey({ usage: 'SIGN_VERIFY' })],
      ['gone', key.replace(/[^/]+$/, '00000000-0000-0000-0000-000000000000')],
    ])
    const store = (): Buffer => readFileSync(join(dir, 'state/sotto.db'))
    for (const step of readTranscript(
      readFileSync(new URL('failures.txt', import.meta.url), 'utf8'),
    )) {
      const before = step.fields.has('exit') ? store() : undefined
      const began = performance.now()
      await play(step, 'failures.txt', variables, (played) => act(played, { kms, moto, key, dir }))
      if (before === undefined) continue
      expect(performance.now() - began, `line ${step.line}`).toBeLessThan(BOUND_MS)
      expect(store().equals(before), `line ${step.line} changed the store`).toBe(true)
    }
  })
})

interface World {
  readonly kms: FaultyKms
  readonly moto: Moto
  readonly key: string
  readonly dir: string
}

async function act(played: Played, { kms, moto, key, dir }: World): Promise<Answered> {
  const { program, args } = played
  if (program === 'sotto') {
    return inProcess(args, {
      SOTTO_STATE_DIR: join(dir, 'state'),
      SOTTO_KMS_ENDPOINT: kms.url,
      ...environmentOf(played),
    })
  }
  const [what, type = '', message = ''] = args
  if (program !== 'kms') throw new Error(`There is no ${program}`)
  if (what === 'disable') await moto.disable(key)
  else if (what === 'enable') await moto.enable(key)
  else if (what === 'schedule-deletion') await moto.scheduleDeletion(key)
  else if (what === 'refuse') kms.fail({ kind: 'error', type, message })
  else if (what === 'throttle') kms.fail({ kind: 'error', type: 'ThrottlingException' }, 3)
  else if (what === 'hang') kms.fail({ kind: 'hang' }, 3)
  else throw new Error(`KMS cannot ${what}`)
  return { stdout: '', stderr: '', exit: '0' }
}
