/** Keys: proves and changes which of them open a store. */
import { SottoError } from '../../client/api/errors.ts'
import type { WrapProof } from '../../server/keys/wraps.ts'
import { newKeyFlags } from '../../server/start/new-key.ts'
import type { Invocation } from '../invocation.ts'
import { keysHere } from './keys-here.ts'
import { table } from '../terminal/table.ts'

/**
 * `sotto key check`: proves each key that is available, and prints the results. Then throws
 * `key_wrong` when one that was tried did not open the store.
 */
export async function keyCheck(invocation: Invocation): Promise<void> {
  const proofs = await keysHere(invocation).check()
  const rows = proofs.map(({ wrap, state, reason, hint }) => {
    const note = hint === undefined ? reason : `${reason}. ${hint}`
    const cells = [wrap.provider, wrap.fingerprint, states[state]]
    return reason === undefined ? cells : [...cells, `${note}`]
  })
  await invocation.print(proofs, (room) =>
    table([['PROVIDER', 'FINGERPRINT', 'STATE', 'NOTE'], ...rows], { room }),
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
  refuseOthers(invocation, kind)
  const wrap = await keysHere(invocation).add(kind)
  const { provider, fingerprint, provenAt, rootFingerprint } = wrap
  await invocation.print(wrap, () => `Added ${provider} key ${fingerprint}\n`)
  await invocation.io.stderr.write(
    `The root key is ${rootFingerprint}: write this down next to the key, for --expect-root.\n`,
  )
  if (provenAt !== undefined) return
  await invocation.io.stderr.write(
    'It was not proven: run `sotto key check --recovery-identity FILE` where its identity is.\n',
  )
}

/** Throws `usage` for a flag that goes with another provider than `kind`. */
function refuseOthers(invocation: Invocation, kind: string): void {
  for (const [owner, flags] of Object.entries(newKeyFlags)) {
    const flag = flags.find((each) => owner !== kind && invocation.text(each) !== undefined)
    if (flag !== undefined) throw new SottoError('usage', `--${flag} goes with ${owner} alone`)
  }
}

/** `sotto key remove`: lets a key no longer open the store. */
export async function keyRemove(invocation: Invocation): Promise<void> {
  const recoveryAlone = invocation.on('leave-recovery-alone')
  const wrap = await keysHere(invocation).remove(invocation.word(0) ?? '', recoveryAlone)
  await invocation.print(wrap, () => `Removed ${wrap.provider} key ${wrap.fingerprint}\n`)
  await invocation.io.stderr.write(
    'Backups and copies of the store made before this still open with it, and so give the root key of what is written later, too: `sotto key rotate --root` replaces that.\n',
  )
}
