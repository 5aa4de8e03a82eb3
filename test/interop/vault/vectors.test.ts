/** The vectors in test/vault are what a real OpenBao answers. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { ask, requests, secrets, type Vector } from '../../vault/vectors.ts'

const readerPolicy = `path "secret/*" { capabilities = ["read", "list", "update", "delete"] }
path "secret" { capabilities = ["read"] }
path "secret/data/other" { capabilities = ["deny"] }
path "none/*" { capabilities = ["read"] }
path "nothing" { capabilities = ["read"] }
path "auth/token/none" { capabilities = ["read"] }
path "sys/mounts/*" { capabilities = ["read"] }`

describeWith(['bao'], 'the vectors', () => {
  test('are what OpenBao answers', async () => {
    await using bao = await startOpenBao()
    await bao.mount('secret', 'kv', { version: '2' })
    for (const [name, data] of Object.entries(secrets)) {
      await bao.must('POST', `secret/data/${name}`, { data })
    }
    await bao.policy('reader', readerPolicy)
    await bao.enableAuth('userpass', 'userpass')
    await bao.must('POST', 'auth/userpass/users/app', { password: 'p4ss' })
    const tokens = {
      // A renewal beyond what a token may live has a warning, as soon as a second has passed.
      reader: await bao.token({ policies: ['reader'], ttl: '1h' }),
      nobody: await bao.token({ policies: ['default'] }),
    }
    const vectors: Vector[] = []
    for (const asked of requests) {
      vectors.push({ ...asked, ...(await ask(bao.url, asked, { token: tokens[asked.as] })) })
    }
    const path = join(import.meta.dirname, '../../vault/vectors.json')
    await expect(`${JSON.stringify(vectors, null, 2)}\n`).toMatchFileSnapshot(path)
  }, 60_000)
})
