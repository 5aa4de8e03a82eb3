/** Which keys open the store of this host: on its files, or at the server that has them open. */
import { resolve } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import type { Client } from '../../client/client.ts'
import { allSettings, type Given } from '../../server/config/settings/given.ts'
import type { AddedWrap, WrapInfo, WrapProof, Wraps } from '../../server/keys/wraps.ts'
import { proofsBeside } from '../../server/start/examine.ts'
import { newKeyFlags, newKeyOf, recipientOf } from '../../server/start/new-key.ts'
import { keyFlags } from '../commands/store-flags.ts'
import type { Invocation } from '../invocation.ts'
import { keysConfig, onKeys, orAtServer } from './keys-at.ts'

/** What can be done about the keys of this host's store. */
export interface KeysHere {
  check(): Promise<readonly WrapProof[]>
  /** Says which file it made, if it did. */
  add(kind: string): Promise<AddedWrap>
  remove(selector: string, recoveryAlone: boolean): Promise<WrapInfo>
}

/** The keys of the store that flags, environment and configuration file name. Its functions reject with `usage` without one. */
export function keysHere(invocation: Invocation): KeysHere {
  const files = onFiles(invocation)
  const or = <T>(act: (keys: KeysHere) => Promise<T>): Promise<T> =>
    orAtServer(
      invocation,
      () => act(files),
      (client) => act(atServer(invocation, client)),
    )
  return {
    check: () => or((keys) => keys.check()),
    add: (kind) => or((keys) => keys.add(kind)),
    remove: (selector, recoveryAlone) => or((keys) => keys.remove(selector, recoveryAlone)),
  }
}

function onFiles(invocation: Invocation): KeysHere {
  const onWraps = <T>(act: (wraps: Wraps) => Promise<T>): Promise<T> =>
    onKeys(invocation, ({ wraps }) => act(wraps))
  return {
    check: () => onWraps((wraps) => wraps.check()),
    async add(kind) {
      const given = allSettings(invocation.typed(), invocation.env)
      const { target, prover, make } = await newKeyOf(kind, given)
      if (make) {
        // No file is made for a store that cannot be used.
        await onWraps((wraps) => wraps.status())
        await make()
        await sayMade(invocation)
      }
      return onWraps((wraps) => wraps.add(target, prover))
    },
    remove: (selector, recoveryAlone) =>
      onWraps((wraps) => wraps.remove(selector, { recoveryAlone })),
  }
}

function atServer(invocation: Invocation, client: Client): KeysHere {
  return {
    async check() {
      // The server has its own keys. One that is given here is tried here: an identity is never given to a server.
      if (keysTyped(invocation)) {
        const proofs = await proofsBeside(keysConfig(invocation))
        await invocation.io.stderr.write(
          'A server is using the store: LAST PROVEN of `sotto key status` stays as it is.\n',
        )
        return proofs
      }
      return (await client.operate('key-check', {})).map((proof) => ({
        wrap: wrapOf(proof),
        state: proof.State,
        ...(proof.Reason !== undefined && { reason: proof.Reason }),
        ...(proof.Hint !== undefined && { hint: proof.Hint }),
      }))
    },
    async add(kind) {
      const given = allSettings(invocation.typed(), invocation.env)
      const Settings = settingsFor(kind, given)
      const Provider = kind as OperationRequest<'key-add'>['Provider']
      const added = await client.operate('key-add', { Provider, Settings })
      if (added.Made) await sayMade(invocation)
      return { ...wrapOf(added), rootFingerprint: added.RootFingerprint }
    },
    async remove(Key, RecoveryAlone) {
      return wrapOf(await client.operate('key-remove', { Key, RecoveryAlone }))
    },
  }
}

async function sayMade(invocation: Invocation): Promise<void> {
  const path = invocation.text('new-key-file') ?? ''
  await invocation.io.stderr.write(`Made the key file ${quote(path)}\n`)
}

/** Whether a key is named on the command line. */
function keysTyped(invocation: Invocation): boolean {
  return Object.keys(keyFlags).some(
    (flag) => flag !== 'state-dir' && flag !== 'config' && invocation.typed()(flag) !== undefined,
  )
}

/** What names the new key. The server runs in another folder, and may read less than the person who asks. */
function settingsFor(kind: string, given: Given): OperationRequest<'key-add'>['Settings'] {
  if (!Object.hasOwn(newKeyFlags, kind)) {
    const hint = `It is one of: ${Object.keys(newKeyFlags).join(', ')}.`
    throw new SottoError('usage', `There is no key provider ${quote(kind)}`, { hint })
  }
  if (kind === 'recovery') return [{ Name: 'recipient', Value: recipientOf(given.value) }]
  const family =
    { local: 'new-key-file', 'aws-kms': 'kms-', 'openbao-transit': 'transit-' }[kind] ?? ''
  const names = [...Object.keys(keyFlags), ...(newKeyFlags[kind] ?? [])].filter((flag) =>
    flag.replace(/^new-(?=kms|transit)/, '').startsWith(family),
  )
  return names.flatMap((flag) => {
    const text = given.value(flag) ?? (given.on(flag) ? 'true' : undefined)
    if (text === undefined) return []
    return [{ Name: flag, Value: flag.endsWith('-file') ? resolve(text) : text }]
  })
}

function wrapOf({
  Provider,
  Fingerprint,
  Created,
  Proven,
}: OperationResponse<'key-remove'>): WrapInfo {
  return {
    provider: Provider,
    fingerprint: Fingerprint,
    createdAt: Created,
    ...(Proven !== undefined && { provenAt: Proven }),
  }
}
