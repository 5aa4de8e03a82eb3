/** A backend as operators ask for one, in the tests and the bench. */
import type { OperationRequest } from '../../client/api/operations.ts'

type Spec = OperationRequest<'backend-create'>
type Config = NonNullable<Spec['Config']>

/** Where a backend is that is in memory. */
export const ORIGIN = 'https://bao.example.com:8200'

/** The request for the backend `Name` at `url`, which logs in with the secret `backends/token`. */
export function backendSpec(Name: string, config: Partial<Config> = {}, url = ORIGIN): Spec {
  return {
    Name,
    Type: 'openbao',
    Description: '',
    Default: false,
    Config: {
      url,
      mount: 'secret',
      pathPrefix: 'sotto',
      tokenSecretRef: { name: 'backends/token' },
      ...config,
    },
  }
}

/** The request for the backend `vault` at `url` that mirrors, and logs in with the secret `backends/vault`. */
export function mirroredBackend(url: string, mirror: NonNullable<Config['mirror']>): Spec {
  return backendSpec('vault', { tokenSecretRef: { name: 'backends/vault' }, mirror }, url)
}
