/** A backend that mirrors secrets, as the tests and the bench make one. */
import type { OperationRequest } from '../../client/api/operations.ts'

type Spec = OperationRequest<'backend-create'>
type Mirror = NonNullable<NonNullable<Spec['Config']>['mirror']>

/** The request for the backend `vault` at `url`, which logs in with the secret `backends/vault`. */
export function mirroredBackend(url: string, mirror: Mirror): Spec {
  return {
    Name: 'vault',
    Type: 'openbao',
    Description: '',
    Default: false,
    Config: {
      url,
      mount: 'secret',
      pathPrefix: 'sotto',
      tokenSecretRef: { name: 'backends/vault' },
      mirror,
    },
  }
}
