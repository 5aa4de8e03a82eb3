/** By what an answer is known to be that of KMS. */
import type { Proof } from '../aws/proof.ts'

/** What each call is answered with. */
const fields: Readonly<Record<string, readonly string[]>> = {
  DescribeKeyCommand: ['KeyMetadata'],
  EncryptCommand: ['CiphertextBlob', 'KeyId'],
  DecryptCommand: ['Plaintext', 'KeyId'],
}

/** Every answer of KMS is a JSON object: with what was asked for, or with the kind of the failure. */
export const kmsProof: Proof = {
  isOwn({ command, status, text = '' }) {
    const due = status >= 300 ? ['__type'] : (fields[command] ?? [])
    try {
      const answer: unknown = JSON.parse(text)
      return typeof answer === 'object' && answer !== null && due.every((each) => each in answer)
    } catch {
      return false
    }
  },
}
