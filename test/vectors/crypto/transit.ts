/** Wraps by OpenBao Transit, right and wrong: what is asked of Transit, which alone can open them. */
import { hash } from 'node:crypto'
import { rootKeyBinding } from '../../../server/crypto/binding.ts'
import { type Named, otherStore, refused, storeId } from './base.ts'
import type { Reason, TransitWrapVector } from './crypto-vector.ts'

/** Wraps by OpenBao Transit. */
export function transitWraps(): Named<TransitWrapVector>[] {
  const head = Buffer.from(rootKeyBinding(storeId).bytes)
  const foreign = Buffer.from(rootKeyBinding(otherStore).bytes)
  const ciphertext = `vault:v1:${Buffer.from('in place of what Transit makes').toString('base64')}`
  const text = Buffer.from(ciphertext)
  const key = { mount: 'transit', key: 'sotto' }
  const context = Buffer.from(
    `{"application":"sotto","purpose":"root-key","format":"1","store":"${storeId}"}`,
  ).toString('base64')
  const good = (
    comment: string,
    made: string,
    path = 'transit/sotto',
    namespace: { namespace?: string } = {},
  ): TransitWrapVector => ({
    comment,
    structure: 'transit-wrap',
    expect: 'ok',
    storeId,
    ...namespace,
    ...key,
    wrapped: Buffer.concat([head, Buffer.from(made)]).toString('hex'),
    ciphertext: made,
    context,
    fingerprint: hash('sha256', path, 'hex').slice(0, 16),
  })
  const bad = (comment: string, because: Reason, wrapped: Buffer): TransitWrapVector => ({
    comment,
    structure: 'transit-wrap',
    expect: refused('transit-wrap', because),
    storeId,
    ...key,
    wrapped: wrapped.toString('hex'),
  })
  const behind = (made: string): Buffer => Buffer.concat([head, Buffer.from(made)])
  return [
    ['transit-wrap-plain', good('The plain case.', ciphertext)],
    [
      'transit-wrap-namespace',
      good('The key is in a namespace.', ciphertext, 'team/a/transit/sotto', {
        namespace: 'team/a',
      }),
    ],
    [
      'transit-wrap-version-12',
      good('A later version of the key wrapped it.', ciphertext.replace(':v1:', ':v12:')),
    ],
    ['transit-wrap-empty', bad('Nothing is there.', 'malformed', Buffer.alloc(0))],
    ['transit-wrap-cut', bad('The fields are cut short.', 'malformed', head.subarray(0, -1))],
    ['transit-wrap-no-text', bad('Nothing follows the fields.', 'malformed', head)],
    ['transit-wrap-bare', bad('The text is without the fields.', 'malformed', text)],
    [
      'transit-wrap-version-0',
      bad('There is no version 0.', 'malformed', behind(ciphertext.replace(':v1:', ':v0:'))),
    ],
    [
      'transit-wrap-no-version',
      bad('The version is missing.', 'malformed', behind(ciphertext.replace('v1:', ''))),
    ],
    [
      'transit-wrap-no-base64',
      bad('The text is not base64.', 'malformed', behind('vault:v1:a-b_c')),
    ],
    [
      'transit-wrap-other-store',
      bad('It was wrapped for another store.', 'store', Buffer.concat([foreign, text])),
    ],
  ]
}
