/** Plays mirror.txt: a mirror at the command line, in a real OpenBao. */
import { readFileSync } from 'node:fs'
import { test } from 'vitest'
import { type Answered, environmentOf, inProcess, play, type Played } from '../../cli/play.ts'
import { readTranscript, type Variables } from '../../cli/transcript.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { startService } from '../../support/service.ts'
import { prepare, projectionPath } from './fixture.ts'

describeWith(['bao'], 'transcripts', () => {
  test('mirror.txt', async () => {
    await using bao = await startOpenBao({ storage: 'raft' })
    await prepare(bao)
    await using service = await startService({}, { backendOrigins: [bao.url] })
    const token = await bao.token({ policies: ['least'], period: '24h' })
    const variables: Variables = new Map([
      ['bao', bao.url],
      ['token', token],
    ])
    const text = readFileSync(new URL('mirror.txt', import.meta.url), 'utf8')
    for (const step of readTranscript(text)) {
      await play(step, 'mirror.txt', variables, async (played) => {
        if (played.program === 'bao') return byHand(bao, played)
        const env = { SOTTO_SERVER: service.url, ...environmentOf(played) }
        return inProcess(played.args, env, Buffer.from(played.field('stdin')))
      })
    }
  })
})

/** What someone else does there. */
async function byHand(bao: OpenBao, { args }: Played): Promise<Answered> {
  const [what, name = '', value = ''] = args
  const path = projectionPath('data', name)
  let stdout = ''
  if (what === 'read') stdout = `${JSON.stringify((await bao.must('GET', path)).data.data)}\n`
  else if (what === 'edit') await bao.must('POST', path, { data: { value } })
  else if (what === 'seal') await bao.seal()
  else {
    await bao.must('DELETE', 'sys/mounts/secret')
    await bao.mount('secret', 'kv', { version: '2' })
  }
  return { stdout, stderr: '', exit: '0' }
}
