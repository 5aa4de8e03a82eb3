/** The commands that delete, and the token that keeps them from being run by accident. */
import { createHash } from 'node:crypto'
import { SottoError } from '../../client/api/errors.ts'
import type { Invocation } from '../invocation.ts'

/** Milliseconds that a token is good for. */
const TOKEN_LIFE_MS = 60_000

/** `sotto delete-version NAME VERSION [TOKEN]` */
export async function deleteVersion(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const version = invocation.version(1)
  confirm(invocation, `delete-version:${name}:${version}`, invocation.word(2))
  await invocation.client().deleteVersion(name, version)
  await invocation.print({}, () => '')
}

/** `sotto delete NAME [TOKEN]` */
export async function deleteSecret(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  confirm(invocation, `delete-secret:${name}`, invocation.word(1))
  await invocation.client().delete(name)
  await invocation.print({}, () => '')
}

/**
 * Throws `local` with a fresh token unless `token` is one for this act on this server, or --yes was
 * given. A token is the end of its life in hexadecimal seconds, a dot, and a digest; it is no secret.
 */
function confirm(invocation: Invocation, act: string, token: string | undefined): void {
  const { server } = invocation
  if (invocation.on('yes')) return
  const digest = createHash('sha256').update(`${server}\n${act}`).digest('hex').slice(0, 16)
  const now = invocation.io.now()
  if (token !== undefined && isGood(token, digest, now)) return
  const fresh = `${Math.ceil((now + TOKEN_LIFE_MS) / 1000).toString(16)}.${digest}`
  const fault = token === undefined ? 'confirmation required' : 'incorrect confirmation'
  throw new SottoError(
    'local',
    `${fault} for ${JSON.stringify(act)}, use token ${JSON.stringify(fresh)}`,
    {
      hint: 'Run the same command with the token at its end, within a minute.',
    },
  )
}

function isGood(token: string, digest: string, now: number): boolean {
  const [end = '', given] = token.split('.')
  const left = Number.parseInt(end, 16) * 1000 - now
  return given === digest && left > 0 && left <= TOKEN_LIFE_MS + 1000
}
