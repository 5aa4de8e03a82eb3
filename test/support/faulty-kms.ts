/** A proxy before a KMS that answers as KMS does when it is unwell, and records what it is asked. */
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'

/** One call that came in. */
export interface KmsCall {
  /** `Encrypt`, `Decrypt`, `DescribeKey`. */
  readonly operation: string
  readonly input: Readonly<Record<string, unknown>>
}

/** A proxy that is up. */
export type FaultyKms = FaultProxy<KmsCall>

/** Starts a proxy on loopback before the KMS at `upstream`. */
export function startFaultyKms(upstream: string): Promise<FaultyKms> {
  return startFaultProxy<KmsCall>(upstream, {
    operationOf: ({ headers }) => String(headers['x-amz-target']).replace('TrentService.', ''),
    read: (operation, _head, body) => ({ operation, input: inputIn(body.toString()) }),
    refuse: ({ type, message = type, status = 400 }) => ({
      status,
      type: 'application/x-amz-json-1.1',
      body: JSON.stringify({ __type: type, message }),
    }),
  })
}

/** What was asked, or nothing of a call that was cut half-way. */
function inputIn(text: string): KmsCall['input'] {
  try {
    return JSON.parse(text) as KmsCall['input']
  } catch {
    return {}
  }
}
