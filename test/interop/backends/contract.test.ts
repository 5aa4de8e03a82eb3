import type { Backend } from '../../../server/backends/contract.ts'
import { backendContract } from '../../contract/backend.ts'
import { startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { ownerOf } from '../../support/memory-backend.ts'
import { backendOn, leafPath, prepare, projectionPath, store } from './fixture.ts'

const otherStore = 'ffeeddccbbaa99887766554433221100'
const { branch: first } = ownerOf(store)
const next = 'c'.repeat(16)

type Six = [Backend, Backend, Backend, Backend, Backend, Backend]

describeWith(['bao'], 'a KV engine of OpenBao', () => {
  for (const storage of ['memory', 'raft'] as const) {
    for (const policy of ['least', 'marking'] as const) {
      backendContract(`OpenBao on ${storage} under the policy ${policy}`, async () => {
        const bao = await startOpenBao({ storage })
        await prepare(bao)
        const open: Backend[] = await Promise.all([
          backendOn(bao, { policy }),
          backendOn(bao, { policy }),
          backendOn(bao, { policy, owner: ownerOf(otherStore) }),
          backendOn(bao, { policy, owner: ownerOf(store, { backend: 2 }) }),
          backendOn(bao, { policy, owner: ownerOf(store, { branch: next, former: [first] }) }),
          backendOn(bao, { policy, owner: ownerOf(store, { branch: 'd'.repeat(16) }) }),
        ])
        const [backend, again, other, sibling, successor, stray] = open as Six
        return {
          backend,
          again,
          other,
          sibling,
          successor,
          stray,
          marks: policy === 'marking',
          takesBytes: 760 * 1024,
          secrets: [bao.rootToken],
          async write(name, fields) {
            await bao.must('POST', projectionPath('data', name), { data: fields })
          },
          async deleteNewest(name) {
            await bao.must('DELETE', projectionPath('data', name))
          },
          async deleteLeaf(leaf) {
            await bao.must('DELETE', leafPath('data', leaf))
          },
          async [Symbol.asyncDispose]() {
            await Promise.all(open.map((each) => each.close()))
            await bao[Symbol.asyncDispose]()
          },
        }
      })
    }
  }
})
