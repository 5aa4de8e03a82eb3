/** The commands that read and write secrets. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Invocation } from '../invocation.ts'
import { table, visible } from '../terminal/text.ts'
import { readValue } from '../value.ts'

/** `sotto list` */
export async function list(invocation: Invocation): Promise<void> {
  const secrets = await invocation.client().list()
  if (invocation.on('only-names')) {
    const names = secrets.map(({ Name }) => Name)
    await invocation.print(names, () => names.map((name) => `${visible(name)}\n`).join(''))
    return
  }
  await invocation.print(secrets, () =>
    table([
      ['NAME', 'ACTIVE', 'VERSIONS'],
      ...secrets.map((each) => [
        visible(each.Name),
        String(each.ActiveVersion),
        each.Versions.join(','),
      ]),
    ]),
  )
}

/** `sotto info NAME` */
export async function info(invocation: Invocation): Promise<void> {
  const secret = await invocation.client().info(invocation.name())
  await invocation.print(secret, () =>
    table([
      ['Name:', visible(secret.Name)],
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
  if (!found) {
    throw new SottoError(
      'unchanged',
      `Version ${version} of ${quote(name)} is still the active one`,
    )
  }
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

function saved(name: string, version: number): string {
  return `Secret saved as ${visible(quote(name))}, version ${version}\n`
}
