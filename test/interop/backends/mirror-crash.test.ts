/** A server that is killed while it mirrors: nothing is lost, nothing is written twice, nothing is a stranger. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Client } from '../../../client/client.ts'
import { actions } from '../../../client/api/types.ts'
import { pathOf } from '../../../server/backends/names.ts'
import { mirroredBackend } from '../../support/backend-spec.ts'
import { startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { type Running, startSotto, temporaryDirectory } from '../../support/sotto.ts'
import { prepare } from './fixture.ts'

const SECRETS = 300

describeWith(['bao'], 'a mirror under fire', () => {
  test.each(['least', 'marking'] as const)(
    'the server is killed again and again while it mirrors, under the policy %s',
    { timeout: 300_000 },
    async (policy) => {
      await using bao = await startOpenBao({ storage: 'raft' })
      await prepare(bao)
      using scratch = temporaryDirectory()
      const tailnet = join(scratch.path, 'tailnet.json')
      const rules = [{ action: [...actions], secret: ['*'] }]
      const nodes = { '127.0.0.1': { name: 'desk', user: 'desk@example.com', rules } }
      writeFileSync(tailnet, JSON.stringify({ nodes }))
      const state = join(scratch.path, 'state')
      const start = (): Promise<Running> =>
        startSotto({
          args: ['--state-dir', state, '--tailnet', tailnet, '--backend-origin', bao.url],
        })
      const revisionOf = async (name: string): Promise<unknown> => {
        const read = await bao.call('GET', `secret/data/sotto/active/${pathOf(name)}`)
        return read.body.data?.metadata?.version
      }

      let server = await start()
      let client = new Client({ server: server.url })
      const names = Array.from({ length: SECRETS }, (_, index) => `prod/${index}`)
      await client.put('backends/vault', Buffer.from(await bao.token({ policies: [policy] })))
      for (const name of names) await client.put(name, Buffer.from(`value of ${name}`))
      await client.operate(
        'backend-create',
        mirroredBackend(bao.url, {
          secrets: ['prod/*'],
          onDrift: 'report',
          onDelete: 'keep',
        }),
      )
      const written = async (): Promise<number> => {
        const listed = await bao.call('GET', 'secret/metadata/sotto/active/prod?list=true')
        return listed.body.data?.keys.length ?? 0
      }
      for (let kills = 1; kills <= 4; kills++) {
        while ((await written()) < kills * 50) await new Promise(setImmediate)
        server.process.kill('SIGKILL')
        client.close()
        server = await start()
        client = new Client({ server: server.url })
        // What was cut short is not what is wanted any more.
        await client.put(names[0] as string, Buffer.from(`after kill ${kills}`))
      }
      const sync = { Backend: 'vault', AcceptMount: false }
      let ended = await client.operate('mirror-sync', sync)
      while (ended.Running) {
        const Started = ended.LastStart ?? ''
        ended = await client.operate('job-run', { Name: 'mirror', Started })
      }
      expect(ended).toMatchObject({ LastResult: 'ok' })
      const [status] = await client.operate('mirror-status', {})
      expect(status).toMatchObject({ Counts: { ok: SECRETS }, Items: [] })
      const revisions = await Promise.all(names.map(revisionOf))
      expect(new Set(revisions)).toEqual(new Set([1]))
      client.close()
      await server.stop()
    },
  )
})
