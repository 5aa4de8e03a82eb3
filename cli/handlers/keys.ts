/** Keys: proves and changes which of them open a store, on its files. */
import { existsSync } from 'node:fs'
import { quote, SottoError } from '../../client/api/errors.ts'
import { awsKmsProvider } from '../../server/crypto/aws-kms.ts'
import { createKeyFile, localKeyProvider } from '../../server/crypto/local-key.ts'
import { openbaoTransitProvider } from '../../server/crypto/openbao-transit.ts'
import type { KeyProvider } from '../../server/crypto/provider.ts'
import { identityProvider, recipientProvider } from '../../server/crypto/recovery.ts'
import type { WrapProof, Wraps } from '../../server/keys/wraps.ts'
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
      ...proofs.map(({ wrap, state, reason, hint }) => {
        const note = hint === undefined ? reason : `${reason}. ${hint}`
        const cells = [wrap.provider, wrap.fingerprint, states[state]]
        return reason === undefined ? cells : [...cells, `${note}`]
      }),
    ]),
  )
  const bad = proofs.filter(({ state }) => state === 'failed').length
  if (bad === 0 && proofs.some(({ state }) => state === 'proven')) return
  const hint =
    'The list above names the keys of the store: give one of them, or fix what its note says.'
  throw new SottoError(
    'key_wrong',
    bad === 0
      ? 'No key that opens the store is available'
      : `${bad} of ${proofs.length} keys did not open the store`,
    { hint },
  )
}

const states: Readonly<Record<WrapProof['state'], string>> = {
  proven: 'proven',
  untried: 'not tried',
  failed: 'FAILED',
}

/** `sotto key add recovery|local|aws-kms|openbao-transit`: lets another key open the store. */
export async function keyAdd(invocation: Invocation): Promise<void> {
  const kind = invocation.word(0) ?? ''
  const [read] = newKeys.get(kind) ?? []
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
  await invocation.print(wrap, () => `Removed ${wrap.provider} key ${wrap.fingerprint}\n`)
  await invocation.io.stderr.write(
    'Backups and copies of the store made before this still open with it.\n',
  )
}

/** A key to add, and the same key as it can be proven. */
interface NewKey {
  readonly target: KeyProvider
  readonly prover?: KeyProvider
}

/** Reads each provider's key, and the flags that go with it alone. */
const newKeys: ReadonlyMap<
  string,
  [read: (invocation: Invocation) => Promise<NewKey>, ...flags: string[]]
> = new Map([
  ['recovery', [recovery, 'recipient', 'recipient-file']],
  ['local', [localKey, 'new-key-file']],
  ['aws-kms', [kmsKey, 'new-kms-key']],
  ['openbao-transit', [transitKey, 'new-transit-key']],
])

async function localKey(invocation: Invocation): Promise<NewKey> {
  const path = invocation.text('new-key-file')
  if (path === undefined) throw new SottoError('usage', 'key add local needs --new-key-file')
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
  const same = (await prover.fingerprint()) === (await target.fingerprint())
  return same ? { target, prover } : { target }
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
  const message = `Cannot read a recipient from ${quote(path)}: it has ${lines.length}`
  throw new SottoError('usage', message)
}

function refuse(invocation: Invocation, provider: string): void {
  for (const [owner, [, ...flags]] of newKeys) {
    const flag = flags.find((each) => owner !== provider && invocation.text(each) !== undefined)
    if (flag !== undefined) throw new SottoError('usage', `--${flag} goes with ${owner} alone`)
  }
}

function onWraps<T>(invocation: Invocation, act: (wraps: Wraps) => Promise<T>): Promise<T> {
  return onKeys(invocation, ({ wraps }) => act(wraps))
}
