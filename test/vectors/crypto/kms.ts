/** Wraps by AWS KMS, right and wrong: what is asked of KMS, which alone can open the blob. */
import { hash } from 'node:crypto'
import { rootKeyBinding } from '../../../server/crypto/binding.ts'
import { type Named, otherStore, refused, storeId } from './base.ts'
import type { KmsWrapVector, Reason } from './crypto-vector.ts'

/** Wraps by AWS KMS. */
export function kmsWraps(): Named<KmsWrapVector>[] {
  const keyArn = 'arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab'
  const head = Buffer.from(rootKeyBinding(storeId).bytes)
  const foreign = Buffer.from(rootKeyBinding(otherStore).bytes)
  const blob = Buffer.from('in place of what KMS makes')
  const good = (comment: string, made: Buffer): KmsWrapVector => ({
    comment,
    structure: 'kms-wrap',
    expect: 'ok',
    storeId,
    keyArn,
    wrapped: Buffer.concat([head, made]).toString('hex'),
    blob: made.toString('hex'),
    context: { application: 'sotto', purpose: 'root-key', format: '1', store: storeId },
    fingerprint: hash('sha256', keyArn, 'hex').slice(0, 16),
  })
  const bad = (comment: string, because: Reason, wrapped: Buffer): KmsWrapVector => ({
    comment,
    structure: 'kms-wrap',
    expect: refused('kms-wrap', because),
    storeId,
    keyArn,
    wrapped: wrapped.toString('hex'),
  })
  const format = Buffer.from(head)
  format[15]! ^= 1
  return [
    ['kms-wrap-plain', good('The plain case.', blob)],
    ['kms-wrap-one-byte', good('The blob has one byte.', blob.subarray(0, 1))],
    ['kms-wrap-empty', bad('Nothing is there.', 'malformed', Buffer.alloc(0))],
    ['kms-wrap-cut', bad('The fields are cut short.', 'malformed', head.subarray(0, -1))],
    ['kms-wrap-no-blob', bad('Nothing follows the fields.', 'malformed', head)],
    ['kms-wrap-bare', bad('The blob is without the fields.', 'malformed', blob)],
    [
      'kms-wrap-format-0',
      bad('The number of the fields is another one.', 'malformed', Buffer.concat([format, blob])),
    ],
    [
      'kms-wrap-other-store',
      bad('It was wrapped for another store.', 'store', Buffer.concat([foreign, blob])),
    ],
  ]
}
