/** What keeps a backend from being set up, changed or deleted. */
import { type BackendSpec, type OpenBaoConfig, STORE_BACKEND } from '../../client/api/backends.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { BackendRecord } from '../backends/registry.ts'

/** The config of a backend that is to be set up. Throws `bad_request`. */
export function configOf({ Name, Type, Config }: BackendSpec): OpenBaoConfig {
  if (Type === 'openbao' && Config) return Config
  if (Type === 'openbao') {
    throw new SottoError('bad_request', `The backend ${quote(Name)} has no config`)
  }
  const found = `Cannot set up ${quote(Name)}: there is one backend of type sotto`
  throw new SottoError('bad_request', found, { hint: `It is ${quote(STORE_BACKEND)}.` })
}

/**
 * Throws `backend_in_use` for a change after which the values that are kept would not be found. `counted`: the
 * caller may know how many there are.
 */
export function refuseLosing(before: BackendRecord, config: OpenBaoConfig, counted: boolean): void {
  const { name, secrets, orphans, copies } = before
  const moved = (['mount', 'pathPrefix', 'namespace'] as const).find(
    (field) => before.config[field] !== config[field],
  )
  if (moved === undefined || secrets + orphans + copies === 0) return
  const kept = counted && secrets > 0 ? numbered(secrets, 'secret') : 'secrets'
  const [why, hint] =
    counted && secrets === 0
      ? [
          'values are left there',
          'Run `sotto job run backends`. What a move kept there is removed by the same move without --keep-source.',
        ]
      : [`it keeps ${kept}`, 'Set up another backend, and migrate the secrets to it.']
  const message = `Cannot change the ${moved} of backend ${quote(name)}: ${why}`
  throw new SottoError('backend_in_use', message, { hint })
}

/** Throws `backend_in_use` where `found`, undefined being the store itself, has to stay. `counted`: as above. */
export function refuseInUse(
  found: BackendRecord | undefined,
  leaveValues: boolean,
  counted: boolean,
): asserts found is BackendRecord {
  if (!found) {
    throw new SottoError('backend_in_use', `The backend ${quote(STORE_BACKEND)} stays`, {
      hint: 'It keeps what the other backends log in with.',
    })
  }
  const { name, secrets, orphans, copies, isDefault } = found
  const refuse = (reason: string, hint: string): never => {
    const message = `Cannot delete backend ${quote(name)}: ${reason}`
    throw new SottoError('backend_in_use', message, { hint })
  }
  if (secrets > 0) {
    refuse(
      `it keeps ${counted ? numbered(secrets, 'secret') : 'secrets'}`,
      'Migrate them first: see `sotto help migrate secrets`.',
    )
  }
  if (isDefault) refuse('new secrets are kept there', 'Make another one the default first.')
  if (leaveValues) return
  if (orphans > 0) {
    refuse(
      `${counted ? numbered(orphans, 'value') : 'values'} of deleted or moved secrets must be removed there first`,
      'Run `sotto job run backends`, or leave them there: --leave-values.',
    )
  }
  if (copies > 0) {
    refuse(
      `it has values of ${counted ? numbered(copies, 'secret') : 'secrets'} kept elsewhere`,
      `Run \`sotto migrate secrets --from ${name} --to BACKEND\` to remove them, or leave them there: --leave-values.`,
    )
  }
}

function numbered(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`
}
