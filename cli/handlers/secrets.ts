/** Secrets: reads, writes and deletes them. */
import { base64 } from '../../client/api/base64.ts'
import { asSottoError, quote, SottoError } from '../../client/api/errors.ts'
import { toSeconds } from '../../client/api/times.ts'
import type { SecretInfo } from '../../client/api/types.ts'
import { visible } from '../../client/api/visible.ts'
import type { Client } from '../../client/client.ts'
import type { Invocation } from '../invocation.ts'
import { table } from '../terminal/table.ts'
import { shown } from '../terminal/text.ts'
import { readValue } from '../value.ts'
import { beyondSetec } from './beyond-setec.ts'
import { confirmed } from './confirmation.ts'

/** `sotto list [PREFIX …]` */
export async function list(invocation: Invocation): Promise<void> {
  const client = invocation.client()
  const backend = invocation.text('backend')
  const kept =
    backend === undefined
      ? undefined
      : new Set((await client.operate('backend-secrets', { Name: backend })).Secrets)
  const prefixes = invocation.words
  const isLong = invocation.on('long')
  const isWanted = (name: string): boolean =>
    prefixes.length === 0 || prefixes.some((prefix) => name.startsWith(prefix))
  const found: Listed[] = isLong ? await longList(client, prefixes) : await client.list()
  const secrets = found.filter(({ Name }) => isWanted(Name) && (kept?.has(Name) ?? true))
  if (invocation.on('only-names')) {
    const names = secrets.map(({ Name }) => Name)
    return invocation.print(names, () => names.map((name) => `${visible(name)}\n`).join(''))
  }
  // The home of a secret is told to those who may see backends.
  const homes = secrets.some(({ Backend }) => Backend !== undefined)
  const columns = isLong ? ['CHANGED', ...(homes ? ['BACKEND'] : [])] : []
  const rows = secrets.map((each) => {
    const { Name, ActiveVersion, Versions, ChangedAt = '', Backend = '' } = each
    const more = [toSeconds(ChangedAt), Backend].slice(0, columns.length)
    return [Name, String(ActiveVersion), Versions.join(','), ...more]
  })
  await invocation.print(secrets, (room) =>
    table([['NAME', 'ACTIVE', 'VERSIONS', ...columns], ...rows], { room }),
  )
  if (secrets.length > 0 || invocation.json) return
  const where = backend === undefined ? '' : ' there'
  const named =
    prefixes.length === 0
      ? ''
      : ` whose name begins with ${visible(prefixes.map(quote).join(' or '))}`
  await invocation.io.stderr.write(
    `There is no secret${where}${named} that you may know about: \`sotto whoami\` shows your rules.\n`,
  )
}

type Listed = SecretInfo & {
  readonly ChangedAt?: string | undefined
  readonly Backend?: string | undefined
}

async function longList(client: Client, prefixes: readonly string[]): Promise<Listed[]> {
  const [Prefix] = prefixes
  const request = prefixes.length === 1 && Prefix !== undefined ? { Prefix } : {}
  return (await beyondSetec('list times and homes', client.operate('secret-list', request))).Secrets
}

/** `sotto info NAME` */
export async function info(invocation: Invocation): Promise<void> {
  const secret = await invocation.client().describe(invocation.name())
  const rows = [
    ['Name:', secret.Name],
    ['Active version:', String(secret.ActiveVersion)],
    ['Versions:', secret.Versions.join(', ')],
    ...(secret.Backend === undefined ? [] : [['Backend:', secret.Backend]]),
  ]
  await invocation.print(secret, (room) => table(rows, { room }))
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
  const { Version } = found
  const field = invocation.text('field')
  const Value = field === undefined ? found.Value : await fieldIn(found.Value, name, field)
  if (invocation.json) return invocation.print({ Value: base64(Value), Version }, () => '')
  const { stdout, stderr } = invocation.io
  if (!stdout.isTTY) return stdout.write(Value)
  const raw = invocation.on('raw')
  await stdout.write(Buffer.concat([Value, Buffer.from('\n')]), { raw })
  if (raw || Buffer.from(shown(Value)).equals(Value)) return
  await stderr.write('The value has control characters, which are shown: --raw sends them.\n')
}

async function fieldIn(value: Uint8Array, name: string, field: string): Promise<Uint8Array> {
  const { fieldOf } = await import('../json-value.ts')
  return fieldOf(value, name, field)
}

/** Puts with setec's wire, or with Sotto's where the latest version is expected to be a certain one. */
async function added(
  invocation: Invocation,
  client: Client,
  name: string,
): Promise<{ readonly Version: number; readonly Active: boolean | undefined }> {
  const isExpecting = invocation.text('expect') !== undefined
  const Expect = invocation.versionFlag('expect')
  const value = await readValue(invocation, name)
  if (!isExpecting) return client.add(name, value)
  const Activate = invocation.on('activate')
  const request = { Name: name, Value: base64(value), Expect, Activate }
  return beyondSetec('put with --expect', client.operate('secret-put', request))
}

/** `sotto put NAME` */
export async function put(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const client = invocation.client()
  const { Version: version, Active } = await added(invocation, client, name)
  // A setec server does not say; with it only the first version is active at once.
  const isActive = Active ?? version === 1
  const wanted = invocation.on('activate')
  const advice =
    isActive || wanted
      ? ''
      : `  To activate this version, run 'sotto activate ${visible(quote(name))} ${version}'\n`
  await invocation.print({ Name: name, Version: version }, () => saved(name, version) + advice)
  // Said as saved before: where this is refused, the version is there all the same.
  if (wanted && !isActive) await client.activate(name, version)
  if (wanted) await say(invocation, `Version ${version} of ${quote(name)} is active`)
  if (version === 1) await sayWhatIsLike(invocation, name)
}

/** Names a secret whose name differs from that of the new one `name` by case or slashes alone: one of the two may be a slip. */
async function sayWhatIsLike(invocation: Invocation, name: string): Promise<void> {
  if (!isWatched(invocation)) return
  // The secret is saved, whatever becomes of this.
  const secrets = await invocation
    .client()
    .list()
    .catch(() => [])
  const like = secrets.find(({ Name }) => Name !== name && plainOf(Name) === plainOf(name))
  if (like) await say(invocation, `Note: there is a secret ${quote(like.Name)} too`)
}

function plainOf(name: string): string {
  return name.toLowerCase().split('/').filter(Boolean).join('/')
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
  const name = invocation.name()
  const version = invocation.version(1)
  const before = await seen(invocation, name)
  await invocation.client().activate(name, version)
  await invocation.print({}, () => '')
  const was = before?.ActiveVersion
  const change = was === undefined ? '' : was === version ? ', as before' : `; it was ${was}`
  await say(invocation, `Version ${version} of ${quote(name)} is active${change}`)
}

/** `sotto delete-version NAME VERSION [TOKEN]` */
export async function deleteVersion(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const version = invocation.version(1)
  await confirmed(invocation, `delete-version:${name}:${version}`, invocation.word(2), {
    answer: String(version),
    question: `To delete version ${version} of ${quote(name)}, type the version`,
  })
  await invocation.client().deleteVersion(name, version)
  await invocation.print({}, () => '')
  await say(invocation, `Version ${version} of ${quote(name)} is deleted`)
}

/** `sotto delete NAME [TOKEN]` */
export async function deleteSecret(invocation: Invocation): Promise<void> {
  const name = invocation.name()
  const before = await seen(invocation, name)
  await confirmed(invocation, `delete-secret:${name}`, invocation.word(1), {
    answer: name,
    question: `To delete ${quote(name)} with all its versions, type its name`,
  })
  await invocation.client().delete(name)
  await invocation.print({}, () => '')
  const was = before && countOf(before.Versions)
  await say(
    invocation,
    was === 'none'
      ? `There was no ${quote(name)}`
      : `${quote(name)} is deleted, with ${was ?? 'all its versions'}`,
  )
}

/** Words after a change, for a person: a script goes by the exit code. */
async function say(invocation: Invocation, words: string): Promise<void> {
  if (isWatched(invocation)) await invocation.io.stderr.write(`${visible(words)}\n`)
}

function isWatched({ json, io }: Invocation): boolean {
  return io.stderr.isTTY && !json
}

/** What is there before a change, for the words after it: no version where there is no such secret; undefined where nobody watches, or may not know. */
async function seen(
  invocation: Invocation,
  name: string,
): Promise<{ readonly ActiveVersion?: number; readonly Versions: readonly number[] } | undefined> {
  if (!isWatched(invocation)) return undefined
  try {
    return await invocation.client().describe(name)
  } catch (error) {
    return asSottoError(error).code === 'not_found' ? { Versions: [] } : undefined
  }
}

function countOf({ length }: readonly number[]): string {
  return length === 0 ? 'none' : length === 1 ? 'its version' : `its ${length} versions`
}

function saved(name: string, version: number): string {
  return `Secret saved as ${visible(quote(name))}, version ${version}\n`
}
