/** The HMAC of many hashes is the one that Node makes, for any key and number of hashes. */
import { createHmac, createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HashesHmac } from '../../server/crypto/hmac.ts'

const hashes = fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 40 })

test('is the HMAC-SHA256 of the bytes of all hashes, also at the second time', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), hashes, (raw, of) => {
      const key = createSecretKey(raw)
      const prepared = new HashesHmac(key)
      const expected = createHmac('sha256', key).update(Buffer.concat(of)).digest('hex')
      const given = of.map((each) => Buffer.from(each).toString('hex'))
      expect([prepared.digest(given), prepared.digest(given)]).toEqual([expected, expected])
    }),
  )
})
