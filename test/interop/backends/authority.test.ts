/** A backend whose certificate comes from an authority of its own. */
import { expect, test } from 'vitest'
import { makePair } from '../../support/certificates.ts'
import { startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { backendOn, prepare } from './fixture.ts'

describeWith(['bao'], 'an OpenBao with an authority of its own', () => {
  test('C11: a test of it tells its version like that of any other', async () => {
    const tls = makePair(['localhost'])
    await using bao = await startOpenBao({ tls })
    await prepare(bao)
    const address = { url: bao.url, ca: tls.certificate }
    const backend = await backendOn(bao, { address })
    expect((await backend.test()).product).toMatch(/^OpenBao \d+\.\d+/)
    await backend.close()
  })
})
