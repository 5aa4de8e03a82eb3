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

/** Throws `backend_in_use` for a change after which the values that are kept would not be found. */
export function refuseLosing(before: BackendRecord, config: OpenBaoConfig): void {
  const { name, secrets, orphans } = before
  const moved = (['mount', 'pathPrefix', 'namespace'] as const).find(
    (field) => before.config[field] !== config[field],
  )
  if (moved === undefined || secrets + orphans === 0) return
  const message = `Cannot change the ${moved} of backend ${quote(name)}: ${secrets} secrets are kept there`
  const hint = 'Set up another backend, and migrate the secrets to it.'
  throw new SottoError('backend_in_use', message, { hint })
}

/** Throws `backend_in_use` where `found`, undefined being the store itself, has to stay. */
export function refuseInUse(
  found: BackendRecord | undefined,
  leaveValues: boolean,
): asserts found is BackendRecord {
  if (!found) {
    throw new SottoError('backend_in_use', `The backend ${quote(STORE_BACKEND)} stays`, {
      hint: 'It keeps what the other backends log in with.',
    })
  }
  const { name, secrets, orphans, isDefault } = found
  const refuse = (reason: string, hint: string): never => {
    const message = `Cannot delete backend ${quote(name)}: ${reason}`
    throw new SottoError('backend_in_use', message, { hint })
  }
  if (secrets > 0) {
    const kept = `it keeps ${secrets} ${secrets === 1 ? 'secret' : 'secrets'}`
    refuse(kept, 'Migrate them first: see `sotto help migrate secrets`.')
  }
  if (isDefault) refuse('new secrets are kept there', 'Make another one the default first.')
  if (orphans > 0 && !leaveValues) {
    refuse(
      `${orphans} values that were deleted here wait to be removed there`,
      'Run `sotto job run backends`, or leave them there: --leave-values.',
    )
  }
}
