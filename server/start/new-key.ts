/** A key that is to open a store: made of what names it, the same on the files of a store and at a server. */
import { existsSync } from 'node:fs'
import { quote, SottoError } from '../../client/api/errors.ts'
import { refuseForeign } from '../../client/platform/owned.ts'
import { keysAtHand } from '../config/keys.ts'
import type { SettingValues } from '../config/settings/setting.ts'
import { awsKmsProvider } from '../crypto/aws-kms.ts'
import { createKeyFile, localKeyProvider } from '../crypto/local-key.ts'
import { openbaoTransitProvider } from '../crypto/openbao-transit.ts'
import type { KeyProvider } from '../crypto/provider.ts'
import { identityProvider, recipientProvider } from '../crypto/recovery.ts'
import type { NewKey } from '../keys/wraps.ts'
import { linesOf, readTextFileNow } from '../../client/platform/text-file.ts'

/** The flags that say which key is added, by its provider; the first of each is asked for where none is given. */
export const newKeyFlags: Readonly<Record<string, readonly string[]>> = {
  recovery: ['recipient', 'recipient-file'],
  local: ['new-key-file'],
  'aws-kms': ['new-kms-key'],
  'openbao-transit': ['new-transit-key'],
}

/** The key of `provider` that `given` names. Throws `usage` for what does not fit. */
export async function newKeyOf(provider: string, given: SettingValues): Promise<NewKey> {
  switch (provider) {
    case 'recovery':
      return recovery(given)
    case 'local':
      return local(given)
    case 'aws-kms':
      return kms(given)
    case 'openbao-transit':
      return transit(given)
    default: {
      const hint = `It is one of: ${Object.keys(newKeyFlags).join(', ')}.`
      throw new SottoError('usage', `There is no key provider ${quote(provider)}`, { hint })
    }
  }
}

/**
 * The recipients in the file at `path`, one a line; comments are left out. Throws `unsafe` where others could write it: it
 * says who can open every value.
 */
export function recipientsIn(path: string): string[] {
  refuseForeign(path, `the file of recipients ${quote(path)}`)
  return linesOf(readTextFileNow(path, 'file of recipients'))
}

/** A key that can be proven with itself. */
function proven(target: KeyProvider): NewKey {
  return { target, prover: target }
}

function local({ value }: SettingValues): NewKey {
  const path = value('new-key-file')
  if (path === undefined) throw new SottoError('usage', 'key add local needs --new-key-file')
  const isMissing = !existsSync(path)
  return {
    ...proven(localKeyProvider(path)),
    ...(isMissing && { make: async () => void (await createKeyFile(path)) }),
  }
}

function kms(given: SettingValues): NewKey {
  const { awsKms } = keysAtHand(instead(given, 'kms-key', 'new-kms-key'))
  if (awsKms) return proven(awsKmsProvider(awsKms))
  const hint = 'Give the ARN of a symmetric key: aws kms describe-key shows it.'
  throw new SottoError('usage', 'key add aws-kms needs --kms-key or --new-kms-key', { hint })
}

function transit(given: SettingValues): NewKey {
  const { transit: key } = keysAtHand(instead(given, 'transit-key', 'new-transit-key'))
  if (key) return proven(openbaoTransitProvider(key))
  const hint = 'Make one that is derived: bao write -f transit/keys/NAME derived=true'
  const message = 'key add openbao-transit needs --transit-key or --new-transit-key'
  throw new SottoError('usage', message, { hint })
}

/** `given`, where the new key stands in for the one that the settings name. */
function instead(given: SettingValues, flag: string, added: string): SettingValues {
  const { value } = given
  return {
    ...given,
    value: (name) => (name === flag ? (value(added) ?? value(flag)) : value(name)),
  }
}

async function recovery({ value }: SettingValues): Promise<NewKey> {
  const target = await recipientProvider(recipientOf(value))
  const identity = value('recovery-identity')
  if (identity === undefined) return { target }
  const prover = identityProvider(identity)
  const same = (await prover.fingerprint()) === (await target.fingerprint())
  return same ? { target, prover } : { target }
}

/** The recipient that is given, by itself or in a file. Throws `usage` for none or both. */
export function recipientOf(value: SettingValues['value']): string {
  const given = value('recipient')
  const path = value('recipient-file')
  if ((given === undefined) === (path === undefined)) {
    throw new SottoError('usage', 'key add recovery needs --recipient or --recipient-file', {
      hint: 'Make a key with age-keygen, where no network reaches, and bring its recipient alone.',
    })
  }
  if (path === undefined) return given ?? ''
  const found = recipientsIn(path)
  if (found.length === 1) return found[0] ?? ''
  const message = `Cannot read a recipient from ${quote(path)}: it has ${found.length}`
  throw new SottoError('usage', message)
}
