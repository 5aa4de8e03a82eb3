/** Secrets: reads, writes and deletes them. */
import { createHash } from 'node:crypto'
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Invocation } from '../invocation.ts'
import { table, visible } from '../terminal/text.ts'
import { readValue } from '../value.ts'

/** Milliseconds that a token is good for. */
const TOKEN_LIFE_MS = 60_000

/** `sotto list` */
export async function list(invocation: Invocation): Promise<void> {
  const secrets = await invocation.client().list()
  if (invocation.on('only-names')) {
    const names = secrets.map(({ Name }) => Name)
    return invocation.print(names, () => names.map((name) => `${visible(name)}\n`).join(''))
  }
  await invocation.print(secrets, () =>
    table([
      ['NAME', 'ACTIVE', 'VERSIONS'],
      ...secrets.map((each) => [each.Name, String(each.ActiveVersion), each.Versions.join(',')]),
    ]),
  )
}

/** `sotto info NAME` */
export async function info(invocation: Invocation): Promise<void> {
  const secret = await invocation.client().info(invocation.name())
  await invocation.print(secret, () =>
    table([
      ['Name:', secret.Name],
      ['Active version:', String(secret.ActiveVersion)],
      ['Versions:', secret.Versions.join(', ')],
    ]),
  )
}

/** `sotto get NAME` */
export async function get(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const version = invocation.versionFlag('version')
  const client = invocation.client()
  const found = invocation.on('if-changed')
    ? await client.getIfChanged(name, version)
    : await client.getVersion(name, version)
  const same = `Version ${version} of ${quote(name)} is still the active one`
  if (!found) throw new SottoError('unchanged', same)
  const { Value, Version } = found
  const base64 = () => Buffer.from(Value.buffer, Value.byteOffset, Value.length).toString('base64')
  await invocation.print(invocation.json && { Value: base64(), Version }, () =>
    invocation.io.stdout.isTTY ? Buffer.concat([Value, Buffer.from('\n')]) : Value,
  )
}

/** `sotto put NAME` */
export async function put(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const client = invocation.client()
  const version = await client.put(name, await readValue(invocation, name))
  const advice =
    version === 1
      ? ''
      : `  To activate this version, run 'sotto activate ${visible(quote(name))} ${version}'\n`
  await invocation.print({ Name: name, Version: version }, () => saved(name, version) + advice)
}

/** `sotto create-version NAME VERSION` */
export async function createVersion(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const version = invocation.version(1)
  const client = invocation.client()
  await client.createVersion(name, version, await readValue(invocation, name))
  await invocation.print({ Name: name, Version: version }, () => saved(name, version))
}

/** `sotto activate NAME VERSION` */
export async function activate(invocation: Invocation): Promise<void> {
  await invocation.client().activate(invocation.name(), invocation.version(1))
  await invocation.print({}, () => '')
}

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

function saved(name: string, version: number): string {
  return `Secret saved as ${visible(quote(name))}, version ${version}\n`
}

/**
 * Throws `local` with a fresh token unless `token` is one for this act on this server, or --yes was
 * given. A token is the end of its life in hexadecimal seconds, a dot, and a digest; it is not secret.
 */
function confirm(invocation: Invocation, act: string, token: string | undefined): void {
  const { server } = invocation
  if (invocation.on('yes')) return
  const digest = createHash('sha256').update(`${server}\n${act}`).digest('hex').slice(0, 16)
  const now = invocation.io.now()
  if (token !== undefined && isGood(token, digest, now)) return
  const fresh = `${Math.ceil((now + TOKEN_LIFE_MS) / 1000).toString(16)}.${digest}`
  const fault = token === undefined ? 'confirmation required' : 'incorrect confirmation'
  const hint = 'Run the same command with the token at its end, within a minute.'
  throw new SottoError(
    'local',
    `${fault} for ${JSON.stringify(act)}, use token ${JSON.stringify(fresh)}`,
    { hint },
  )
}

function isGood(token: string, digest: string, now: number): boolean {
  const [end = '', given] = token.split('.')
  const left = Number.parseInt(end, 16) * 1000 - now
  return given === digest && left > 0 && left <= TOKEN_LIFE_MS + 1000
}
