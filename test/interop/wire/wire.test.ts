import { describeWith } from '../../support/peers.ts'
import { startPair } from './pair.ts'
import { sameAnswers } from './same-answers.ts'

describeWith(['setecd'], 'Sotto answers as setec does', () => {
  sameAnswers(startPair)
})
