/** A store of a program against Sotto. test/interop/store.test.ts has the same against setec. */
import { describe } from 'vitest'
import { startService } from '../../support/service.ts'
import { describeStore } from './store-suite.ts'

describe('polling', () => {
  describeStore(startService, false)
})
describe('told of changes', () => {
  describeStore(startService, true)
})
