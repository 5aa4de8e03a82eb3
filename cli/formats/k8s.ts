/** A Secret of Kubernetes, in JSON: for `kubectl apply -f -`. Values are in base64, and of any bytes. */
import { base64 } from '../../client/api/base64.ts'
import { bytesOf, type Format } from './format.ts'

/** What Kubernetes takes as one Secret. */
const MAX_BYTES = 1024 * 1024

export const k8s: Format = {
  reader: 'kubectl apply -f -',
  refusal: ({ variable }) => {
    if (/^[-._A-Za-z0-9]{1,253}$/.test(variable) && !/^\.(?:$|\.)/.test(variable)) return undefined
    return 'its name is not a key of a Secret: at most 253 letters, digits, "-", "_" and "."'
  },
  refusalOfAll: (entries, { name = '' }) => {
    if (
      !/^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/.test(
        name,
      )
    ) {
      return 'the Secret needs a --name of small letters, digits, "-" and "."'
    }
    return bytesOf(entries) > MAX_BYTES ? 'they have more than 1 MiB together' : undefined
  },
  write: (entries, { name }) => {
    const data = Object.fromEntries(entries.map((each) => [each.variable, base64(each.value)]))
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'Opaque', data }
    return Buffer.from(`${JSON.stringify(secret, undefined, 2)}\n`)
  },
}
