/** Which certificate a server on a tailnet shows: tailscaled's, the operator's own, or none. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import type { TailscaleIdentity } from '../../identity/tailscale/identity.ts'
import type { LocalApi } from '../../identity/tailscale/local-api.ts'
import type { Certificates, CertificateWorld } from './certificates.ts'
import { type CertificateFiles, FileCertificates } from './file-certificates.ts'
import { TailnetCertificates } from './tailnet-certificates.ts'

/** The certificate that tailscaled gets for the node, plain HTTP, or files. */
export type Tls = 'tailnet' | 'none' | CertificateFiles

/**
 * Opens the certificate that `tls` asks for; undefined for none. Rejects with
 * `certificate_unavailable`, or what else keeps it from being used.
 */
export async function openCertificates(
  tls: Tls,
  identity: TailscaleIdentity,
  localApi: LocalApi,
  world: CertificateWorld,
): Promise<Certificates | undefined> {
  if (tls === 'none') return undefined
  if (tls !== 'tailnet') {
    const certificates = await FileCertificates.open(tls, world)
    if (!certificates.current.covers(identity.name)) {
      const what = `the certificate in ${quote(tls.certificate)}`
      world.logger.warn(`${what} is not for ${quote(identity.name)}`)
    }
    return certificates
  }
  if (identity.domains.length === 0) {
    throw new SottoError(
      'certificate_unavailable',
      'tailscaled can get no certificate: HTTPS is not on for this tailnet',
      {
        hint: 'Turn HTTPS on for the tailnet, give a certificate of your own with --tls-cert and --tls-key, or ask for --plain-http.',
      },
    )
  }
  const certificates = await TailnetCertificates.open(
    {
      fetch: (name, options) => localApi.certificate(name, options),
      name: () =>
        identity.domains.includes(identity.name) ? identity.name : (identity.domains[0] ?? ''),
    },
    world,
  )
  identity.onChange(() => certificates.refresh())
  return certificates
}
