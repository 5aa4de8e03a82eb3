import { afterAll, beforeAll } from 'vitest'
import { type OpenBao, startOpenBao } from '../../support/openbao.ts'
import { describeWith } from '../../support/peers.ts'
import { startPair } from './pair.ts'
import { sameAnswers } from './same-answers.ts'

describeWith(['setecd', 'bao'], 'Sotto answers as setec does while OpenBao has the values', () => {
  let bao: OpenBao

  beforeAll(async () => {
    bao = await startOpenBao()
  })
  afterAll(() => bao[Symbol.asyncDispose]())

  sameAnswers(() => startPair({}, bao), false)
})
