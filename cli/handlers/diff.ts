/** Compares versions of a secret, a secret with a file, or the secrets below two prefixes. What is in them stays hidden. */
import { createReadStream } from 'node:fs'
import type { Client } from '../../client/client.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import { visible } from '../../client/api/visible.ts'
import { FOUND } from '../command.ts'
import { comparisonOf, revealed, rowsOf } from '../comparison.ts'
import type { Invocation } from '../invocation.ts'
import { table } from '../terminal/table.ts'
import { readAll, valueLimit } from '../value.ts'

/** A value, and what it is called. */
interface Side {
  readonly label: string
  readonly value: Uint8Array
}

/** `sotto diff NAME [A [B]]`, `sotto diff NAME --file FILE` and `sotto diff PREFIX/ PREFIX/` */
export async function diff(invocation: Invocation): Promise<number> {
  const [first = '', second = '', third] = invocation.words
  const { stdout } = invocation.io
  const reveals = invocation.on('reveal')
  if (reveals && (!stdout.isTTY || invocation.json)) {
    throw new SottoError('usage', 'Cannot show values: --reveal is for a terminal alone')
  }
  const client = invocation.client({ keepAlive: true })
  try {
    if (first.endsWith('/') && second.endsWith('/') && third === undefined) {
      if (!reveals && invocation.text('file') === undefined) {
        return await diffBelow(invocation, client, first, second)
      }
      throw new SottoError('usage', 'Two prefixes take neither --file nor --reveal')
    }
    const sides = await sidesOf(invocation, client)
    if (!sides) return 0
    try {
      return await compared(invocation, ...sides)
    } finally {
      for (const { value } of sides) value.fill(0)
    }
  } finally {
    client.close()
  }
}

async function compared(invocation: Invocation, a: Side, b: Side): Promise<number> {
  const comparison = comparisonOf(a.value, b.value)
  const { equal, fields } = comparison
  const exit = equal ? 0 : FOUND
  await invocation.print(
    { name: invocation.name(), a: a.label, b: b.label, ...comparison },
    (room) => {
      const head = `${a.label} and ${b.label} of ${quote(invocation.name())}`
      const how = equal
        ? 'are equal'
        : fields?.length === 0
          ? 'have the same fields, and are spelled otherwise'
          : 'differ'
      return `${visible(`${head} ${how}`)}\n${table(rowsOf(comparison), { room, gap: 2 })}`
    },
  )
  if (invocation.on('reveal') && !equal)
    await invocation.io.stdout.write(revealed(a.value, b.value))
  return exit
}

/** What is to be compared; undefined where only one version is asked about, which has been said. */
async function sidesOf(invocation: Invocation, client: Client): Promise<[Side, Side] | undefined> {
  const name = invocation.name()
  const file = invocation.text('file')
  const given = invocation.words.slice(1).map((_, at) => invocation.version(at + 1))
  const versionSide = async (version: number): Promise<Side> => {
    const { Value, Version } = await client.getVersion(name, version)
    return { label: `version ${Version}`, value: Value }
  }
  if (file !== undefined) {
    if (given.length > 1) throw new SottoError('usage', 'With --file there is one version at most')
    const label = `the file ${quote(file)}`
    const value = await readAll(createReadStream(file), label, valueLimit(name))
    return [await versionSide(given[0] ?? 0), { label, value }]
  }
  const [a = 0, b] = given
  if (b !== undefined) return [await versionSide(a), await versionSide(b)]
  if (a !== 0) return [await versionSide(a), await versionSide(0)]
  const { Versions, ActiveVersion } = await client.info(name)
  const latest = Versions.at(-1) ?? ActiveVersion
  if (latest !== ActiveVersion) return [await versionSide(ActiveVersion), await versionSide(latest)]
  const label = `version ${latest}`
  await invocation.print(
    { name, a: label, b: label, equal: true },
    () => `${visible(`The active version of ${quote(name)}, ${latest}, is the latest`)}\n`,
  )
  return undefined
}

type Change = 'added' | 'removed' | 'changed' | 'equal'

/** Compares the active values of the secrets below two prefixes. */
async function diffBelow(
  invocation: Invocation,
  client: Client,
  from: string,
  to: string,
): Promise<number> {
  const all = (await client.list()).map(({ Name }) => Name)
  const below = (prefix: string): Set<string> =>
    new Set(all.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)))
  const [left, right] = [below(from), below(to)]
  const secrets: { name: string; change: Change }[] = []
  for (const name of [...left.union(right)].toSorted()) {
    const isBoth = left.has(name) && right.has(name)
    const one = right.has(name) ? 'added' : 'removed'
    const change = isBoth ? await changeOf(client, from + name, to + name) : one
    secrets.push({ name, change })
  }
  const differ = secrets.filter(({ change }) => change !== 'equal')
  const equal = differ.length === 0
  await invocation.print({ a: from, b: to, equal, secrets }, (room) => {
    const rows = differ.map(({ name, change }) => [change, name])
    const counts = `${differ.length} differ, ${secrets.length - differ.length} are equal`
    return table([...rows, [counts]], { room, gap: 2 })
  })
  return equal ? 0 : FOUND
}

async function changeOf(client: Client, from: string, to: string): Promise<Change> {
  const a = (await client.get(from)).Value
  const b = (await client.get(to)).Value
  const same = Buffer.compare(a, b) === 0
  for (const value of [a, b]) value.fill(0)
  return same ? 'equal' : 'changed'
}
