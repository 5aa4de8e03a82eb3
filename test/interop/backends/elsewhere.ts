/** Servers whose new secrets are in a real OpenBao. They log in there with a JWT, which takes no secret. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { OperationRequest } from '../../../client/api/operations.ts'
import { Client } from '../../../client/client.ts'
import type { OpenBao } from '../../support/openbao.ts'
import { prepare } from './fixture.ts'

/** What an operator of backends may do who makes them the home of new secrets. */
export const operatorRule = {
  action: [
    'backends:view',
    'backends:create',
    'backends:edit',
    'backends:delete',
    'migrate',
    'get',
  ],
  secret: ['*'],
}

/**
 * Prepares `bao`, and resolves with the arguments of a server that may be its client. The JWT is in
 * `directory`.
 */
export async function allow(bao: OpenBao, directory: string): Promise<string[]> {
  await prepare(bao)
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await bao.enableAuth('jwt', 'jwt')
  await bao.must('POST', 'auth/jwt/config', {
    jwt_validation_pubkeys: [publicKey.export({ type: 'spki', format: 'pem' })],
  })
  await bao.must('POST', 'auth/jwt/role/sotto', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['sotto'],
    token_policies: ['least'],
    token_ttl: '1h',
  })
  const now = Math.floor(Date.now() / 1000)
  const [head, claims] = [
    { alg: 'ES256', typ: 'JWT' },
    { sub: 'sotto', aud: 'sotto', iat: now, nbf: now - 60, exp: now + 86_400 },
  ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  const signed = `${head}.${claims}`
  const signature = sign('sha256', Buffer.from(signed), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  const file = join(directory, 'jwt')
  writeFileSync(file, `${signed}.${signature.toString('base64url')}`)
  const role = `${bao.url}/v1/auth/jwt/role/sotto`
  return ['--backend-origin', bao.url, '--backend-jwt-file', file, '--backend-jwt-role', role]
}

/** A backend on `bao`, below the prefix `sotto/NAME`. */
export function specFor(
  bao: OpenBao,
  name: string,
  isDefault = false,
): OperationRequest<'backend-create'> {
  return {
    Name: name,
    Type: 'openbao',
    Description: '',
    Default: isDefault,
    Config: {
      url: bao.url,
      mount: 'secret',
      pathPrefix: `sotto/${name}`,
      auth: { method: 'jwt', role: 'sotto' },
    },
  }
}

/** Lets the server at `url` keep new secrets on `bao`, as an operator who calls from `from`. */
export async function keepElsewhere(bao: OpenBao, url: string, from: string): Promise<void> {
  const client = new Client({ server: url, localAddress: from })
  await client.operate('backend-create', specFor(bao, 'vault', true))
  const { Ok, Error: fault } = await client.operate('backend-test', { Name: 'vault' })
  if (!Ok) throw new Error(fault?.Message)
  client.close()
}
