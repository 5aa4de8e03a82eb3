/** Plays mcpctl.txt: what mcpctl's document of secret backends shows, in a real OpenBao, under the policy of that document. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { environmentOf, inProcess, play, type Played } from '../../cli/play.ts'
import { readTranscript, type Variables } from '../../cli/transcript.ts'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { startService } from '../../support/service.ts'

const platform = { namespace: 'platform' }

/** The least, as that document has it. */
const policy = `path "secret/data/mcpctl/*" { capabilities = ["create", "read", "update"] }
path "secret/metadata/mcpctl/*" { capabilities = ["list", "delete"] }
path "secret/metadata/mcpctl/" { capabilities = ["list"] }
`

describeWith(['bao'], 'secret backends as mcpctl has them', () => {
  test('S0: create, apply, migrate with every flag, and delete', async () => {
    await using bao = await startOpenBao()
    await bao.must('POST', 'sys/namespaces/platform', {})
    await bao.mount('secret', 'kv', { version: '2' }, platform)
    await bao.policy('mcpctl', policy, platform)
    await using service = await startService({}, { backendOrigins: [bao.url] })
    const token = await bao.token({ policies: ['mcpctl'], period: '24h', ...platform })
    const variables: Variables = new Map([
      ['bao', bao.url],
      ['token', token],
    ])
    const text = readFileSync(new URL('mcpctl.txt', import.meta.url), 'utf8')
    for (const step of readTranscript(text)) {
      await play(step, 'mcpctl.txt', variables, async (played) => {
        if (played.program === 'bao') return seen(bao, played)
        const env = { SOTTO_SERVER: service.url, ...environmentOf(played) }
        return inProcess(played.args, env, Buffer.from(played.field('stdin')))
      })
    }
    // The audit log tells each move, and each value that was removed there.
    const records = service.records()
    const told = (kind: string, verb: string) =>
      records
        .filter((record) => record['kind'] === kind && record['verb'] === verb)
        .map(({ secret, secretVersion = '' }) =>
          `${String(secret)} ${String(secretVersion)}`.trim(),
        )
        .toSorted((one, other) => one.localeCompare(other))
    const three = (name: string): string[] => [name, name, name]
    const moves = [...three('app/one'), ...three('app/two'), 'fresh', 'gitea', 'gitea']
    expect(told('change', 'migrate')).toEqual(moves)
    const removed = ['app/one 1', 'app/two 1', 'app/two 5', 'fresh 1', 'gitea 1']
    expect(told('place', 'remove')).toEqual(removed)
    expect(JSON.stringify(records)).not.toContain(token)
  })
})

/** What is there, below `secret/` of the namespace. */
async function seen(bao: OpenBao, { args }: Played) {
  const [what, path = ''] = args
  let stdout = ''
  if (what === 'read') {
    const { data } = (await bao.must('GET', `secret/data/${path}`, undefined, platform)).data
    stdout = `${JSON.stringify(data)}\n`
  } else {
    const listed = `secret/metadata/${path}?list=true`
    const { data } = (await bao.call('GET', listed, undefined, platform)).body
    stdout = ((data?.keys ?? []) as string[]).map((key) => `${key}\n`).join('')
  }
  return { stdout, stderr: '', exit: '0' }
}
