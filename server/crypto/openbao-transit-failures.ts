/** What went wrong with a call to Transit, in words for an operator. */
import { type ErrorCode, quote, SottoError } from '../../client/api/errors.ts'
import type { Failure } from '../openbao/failures.ts'
import type { OpenBaoAddress } from '../openbao/connection.ts'
import type { Login } from '../openbao/login.ts'

/** Which key of Transit, where it is, and how to log in there. */
export interface TransitKey extends OpenBaoAddress {
  /** The name of the key. */
  readonly key: string
  /** Where the engine is mounted. */
  readonly mount: string
  readonly login: Login
}

/** A call to Transit. */
export interface Attempt extends TransitKey {
  /** What was to be done, after "Cannot". */
  readonly attempted: string
}

/** What is asked of a key. */
export type TransitOperation = 'encrypt' | 'decrypt'

type Finding = Pick<Failure, 'found' | 'hint'> & { readonly code?: ErrorCode }

/**
 * The SottoError for a call that failed: `key_wrong` when Transit took the wrap for none of its key,
 * `key_exposed` when others can read what logs in, and `key_missing` otherwise.
 */
export function transitFailure(
  attempt: Attempt,
  operation: TransitOperation,
  failure: Failure,
): SottoError {
  return errorOf(attempt, findingOf(attempt, operation, failure))
}

/** Whether a key refused a call without a context: only one that is derived does. */
export function isDerived({ reasons }: Failure): boolean {
  return reasons.some((reason) => reason.includes("missing 'context' for key derivation"))
}

/** The key takes a wrap without the store that it is for. */
export function notDerived(attempt: Attempt): SottoError {
  return errorOf(attempt, {
    code: 'unsafe',
    found: 'the key is not derived, so it would not bind the wrap to the store',
    hint: `A key stays as it was made. Make another: bao write -f ${attempt.mount}/keys/NAME derived=true`,
  })
}

/** Something else than Transit answered. */
export function otherThanTransit(attempt: Attempt): SottoError {
  return errorOf(attempt, {
    found: `what is mounted at ${quote(attempt.mount)} does not answer as Transit does`,
    hint: 'Look at --transit-mount: `bao secrets list` shows the engines.',
  })
}

function errorOf(attempt: Attempt, { found, hint, code = 'key_missing' }: Finding): SottoError {
  const { attempted, key, namespace, url } = attempt
  const where = `${namespace === undefined ? '' : ` in namespace ${quote(namespace)}`} at ${quote(new URL(url).origin)}`
  return new SottoError(
    code,
    `Cannot ${attempted} with openbao-transit key ${quote(key)}${where}: ${found}`,
    { hint },
  )
}

function findingOf(attempt: Attempt, operation: TransitOperation, failure: Failure): Finding {
  const { mount, key } = attempt
  const { kind, found, hint } = failure
  const right = `"update" on ${quote(`${mount}/${operation}/${key}`)} in a policy of`
  if (kind === 'denied') {
    // OpenBao says no more than this when the key is missing and the caller may not make one.
    const or = operation === 'encrypt' ? ', or there is no such key' : ''
    return {
      found: `${found}${or}`,
      hint: `Allow ${right} the token: see docs/guides/keys-transit.md.`,
    }
  }
  if (kind === 'dead_token') {
    return {
      found,
      hint: `Give a new token, or allow ${right} this one: see docs/guides/keys-transit.md.`,
    }
  }
  if (kind === 'no_mount') {
    return {
      found: `no Transit engine is mounted at ${quote(mount)}`,
      hint: 'Look at --transit-mount and --transit-namespace: `bao secrets list` shows the engines.',
    }
  }
  if (kind === 'no_namespace') return { found, hint: 'Look at --transit-namespace.' }
  if (kind === 'tls') return { found, hint: `${hint} It is --transit-ca-file.` }
  if (kind === 'exposed') return { code: 'key_exposed', found, hint }
  return (kind === 'refused' && refusalOf(attempt, failure.reasons.join('; '))) || { found, hint }
}

function refusalOf({ mount, key }: Attempt, said: string): Finding | undefined {
  if (said.includes('encryption key not found')) {
    return {
      found: 'there is no such key',
      hint: `Look at its name: bao list ${mount}/keys. A deleted key does not come back: use another key of the store.`,
    }
  }
  if (said.includes('too old')) {
    return {
      found: 'the version of the key that wrapped it is not allowed any more',
      hint: `Allow it again: bao write ${mount}/keys/${key}/config min_decryption_version=1`,
    }
  }
  if (said.includes('not supported for key type')) {
    return {
      found: 'the key is not for encryption',
      hint: `Make another: bao write -f ${mount}/keys/NAME derived=true`,
    }
  }
  if (/message authentication failed|invalid ciphertext/.test(said)) {
    return {
      code: 'key_wrong',
      found:
        'Transit does not open it: it was altered, or was wrapped for another store or by another key of this name',
      hint: 'Was the key deleted and recreated, or is this another OpenBao? Otherwise the wrap is damaged: open the store with another of its keys, then remove this one and add it again; or restore the store from a backup.',
    }
  }
  return undefined
}
