/** Keys: proves and changes which of them open a store, on its files. */
import { existsSync } from 'node:fs'
import { quote, SottoError } from '../../client/api/errors.ts'
import { awsKmsProvider } from '../../server/crypto/aws-kms.ts'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import { openbaoTransitProvider } from '../../server/crypto/openbao-transit.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import { identityProvider, recipientProvider } from '../../server/crypto/recovery.ts'
import type { WrapInfo, WrapProof, Wraps } from '../../server/keys/wraps.ts'
import type { Invocation } from '../invocation.ts'
import { readLocalFile } from '../local-file.ts'
import { keysConfig, onKeys } from './keys-at.ts'
import { table } from '../terminal/text.ts'

/**
 * `sotto key check`: proves each key that is available, and prints the results. Then throws
 * `key_wrong` when one that was tried did not open the store.
 */
export async function keyCheck(invocation: Invocation): Promise<void> {
  const proofs = await onWraps(invocation, (each) => each.check())
  await invocation.print(proofs, () =>
    table([
      ['PROVIDER', 'FINGERPRINT', 'STATE', 'NOTE'],
      ...proofs.map((proof) => [
        proof.wrap.provider,
        proof.wrap.fingerprint,
        states[proof.state],
        ...noteOf(proof),
      ]),
    ]),
  )
  const bad = proofs.filter(({ state }) => state === 'failed').length
  if (bad === 0 && proofs.some(({ state }) => state === 'proven')) return
  throw new SottoError(
    'key_wrong',
    bad === 0
      ? 'No key that opens the store is available'
      : `${bad} of ${proofs.length} keys did not open the store`,
    {
      hint: 'The list above names the keys of the store: give one of them, or fix what its note says.',
    },
  )
}

function noteOf({ reason, hint }: WrapProof): string[] {
  if (reason === undefined) return []
  return [hint === undefined ? reason : `${reason}. ${hint}`]
}

const states: Readonly<Record<WrapProof['state'], string>> = {
  proven: 'proven',
  untried: 'not tried',
  failed: 'FAILED',
}

/** `sotto key add recovery|local|aws-kms|openbao-transit`: lets another key open the store. */
export async function keyAdd(invocation: Invocation): Promise<void> {
  const kind = invocation.word(0) ?? ''
  const read = newKeys.get(kind)
  if (read === undefined) {
    const hint = `It is one of: ${[...newKeys.keys()].join(', ')}.`
    throw new SottoError('usage', `There is no key provider ${quote(kind)}`, { hint })
  }
  refuse(invocation, kind)
  const { target, prover } = await read(invocation)
  const wrap = await onWraps(invocation, (wraps) => wraps.add(target, prover))
  const { provider, fingerprint, provenAt } = wrap
  await invocation.print(wrap, () => `Added ${provider} key ${fingerprint}\n`)
  if (provenAt !== undefined) return
  await invocation.io.stderr.write(
    'It was not proven: run `sotto key check --recovery-identity FILE` where its identity is.\n',
  )
}

/** `sotto key remove`: lets a key no longer open the store. */
export async function keyRemove(invocation: Invocation): Promise<void> {
  const recoveryAlone = invocation.on('leave-recovery-alone')
  const selector = invocation.word(0) ?? ''
  const wrap = await onWraps(invocation, (wraps) => wraps.remove(selector, { recoveryAlone }))
  await invocation.print(wrap, () => `Removed ${nameOf(wrap)}\n`)
  await invocation.io.stderr.write(
    'Backups and copies of the store made before this still open with it.\n',
  )
}

/** A key to add, and the same key as it can be proven. */
interface NewKey {
  readonly target: KeyProvider
  readonly prover?: KeyProvider
}

const newKeys: ReadonlyMap<string, (invocation: Invocation) => Promise<NewKey>> = new Map([
  ['recovery', recovery],
  ['local', localKey],
  ['aws-kms', kmsKey],
  ['openbao-transit', transitKey],
])

/** The flags that go with one provider alone. */
const ownFlags: Readonly<Record<string, string>> = {
  recipient: 'recovery',
  'recipient-file': 'recovery',
  'new-key-file': 'local',
  'new-kms-key': 'aws-kms',
  'new-transit-key': 'openbao-transit',
}

async function localKey(invocation: Invocation): Promise<NewKey> {
  const path = invocation.text('new-key-file')
  if (path === undefined) {
    throw new SottoError('usage', 'key add local needs --new-key-file')
  }
  const target = localKeyProvider(path)
  if (!existsSync(path)) {
    // No file is made for a store that cannot be used.
    await onWraps(invocation, (wraps) => wraps.status())
    await createKeyFile(path)
    await invocation.io.stderr.write(`Made the key file ${quote(path)}\n`)
  }
  return proven(target)
}

/** A key that can be proven with itself. */
function proven(target: KeyProvider): NewKey {
  return { target, prover: target }
}

async function kmsKey(invocation: Invocation): Promise<NewKey> {
  const added = invocation.text('new-kms-key')
  const { awsKms } = keysConfig(invocation, { 'kms-key': added })
  if (awsKms === undefined) {
    const hint = 'Give the ARN of a symmetric key: aws kms describe-key shows it.'
    throw new SottoError('usage', 'key add aws-kms needs --kms-key or --new-kms-key', { hint })
  }
  return proven(awsKmsProvider(awsKms))
}

async function transitKey(invocation: Invocation): Promise<NewKey> {
  const added = invocation.text('new-transit-key')
  const { transit } = keysConfig(invocation, { 'transit-key': added })
  if (transit === undefined) {
    const hint = 'Make one that is derived: bao write -f transit/keys/NAME derived=true'
    throw new SottoError(
      'usage',
      'key add openbao-transit needs --transit-key or --new-transit-key',
      { hint },
    )
  }
  return proven(openbaoTransitProvider(transit))
}

async function recovery(invocation: Invocation): Promise<NewKey> {
  const target = await recipientProvider(recipientOf(invocation))
  const { recoveryIdentity } = keysConfig(invocation)
  if (recoveryIdentity === undefined) return { target }
  const prover = identityProvider(recoveryIdentity)
  return (await prover.fingerprint()) === (await target.fingerprint())
    ? { target, prover }
    : { target }
}

function recipientOf(invocation: Invocation): string {
  const given = invocation.text('recipient')
  const path = invocation.text('recipient-file')
  if ((given === undefined) === (path === undefined)) {
    throw new SottoError('usage', 'key add recovery needs --recipient or --recipient-file', {
      hint: 'Make a key with age-keygen, where no network reaches, and bring its recipient alone.',
    })
  }
  if (path === undefined) return given ?? ''
  const lines = readLocalFile(path)
    .split(/\r?\n/)
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (lines.length === 1) return lines[0] ?? ''
  throw new SottoError(
    'usage',
    `Cannot read a recipient from ${quote(path)}: it has ${lines.length}`,
  )
}

function refuse(invocation: Invocation, provider: string): void {
  const given = Object.entries(ownFlags).filter(([flag]) => invocation.text(flag) !== undefined)
  const [flag, owner] = given.find(([, each]) => each !== provider) ?? []
  if (flag !== undefined) throw new SottoError('usage', `--${flag} goes with ${owner} alone`)
}

function onWraps<T>(invocation: Invocation, act: (wraps: Wraps) => Promise<T>): Promise<T> {
  return onKeys(invocation, ({ wraps }) => act(wraps))
}

function nameOf({ provider, fingerprint }: WrapInfo): string {
  return `${provider} key ${fingerprint}`
}
