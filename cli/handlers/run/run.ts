/** `sotto run [flags] -- PROGRAM …`: runs a program with secrets in its environment, or in files. */
import type { SecretValue } from '../../../client/api/types.ts'
import { visible } from '../../../client/api/visible.ts'
import type { Client } from '../../../client/client.ts'
import { holdingTimers } from '../../../client/platform/timers.ts'
import { atOnce } from '../../../client/store/at-once.ts'
import type { Invocation } from '../../invocation.ts'
import { type Mapped, readMapping } from '../../mapping/mapping.ts'
import { refuseDangerous } from '../../mapping/variables.ts'
import type { Followed } from './follow.ts'
import { inherited, launchOf } from './launch.ts'
import { checkFlags, durationFlag, readFiles, readManner, uniqueFiles } from './options.ts'
import { environmentFor, listed, refuseTooLong, type Run } from './environment.ts'
import { findProgram } from './program.ts'
import { canReplace, replace } from './replace.ts'
import { keyOf, RunSource } from './source.ts'
import { referencesOf, type Values, valuesOf, type Wanted } from './values.ts'

/**
 * Becomes the program, or runs it as a child and resolves with its exit code. Rejects where it was not started; what it
 * rejects with has the exit code.
 */
export async function run(invocation: Invocation): Promise<number> {
  checkFlags(invocation)
  const manner = readManner(invocation)
  const [name = '', ...args] = invocation.words
  const { env, io } = invocation
  // Nothing is read for a program that is not there.
  const program = findProgram(name, args, env['PATH'])
  const say = (line: string): void => {
    void io.stderr.write(`sotto: ${visible(line)}\n`).catch(() => {})
  }
  // A program that gets new values is a holder of its own, told apart from others on its node.
  const label = invocation.on('watch') ? crypto.randomUUID() : undefined
  const client = invocation.client({ keepAlive: true, ...(label !== undefined && { label }) })
  try {
    const wanted = await readWanted(invocation, client)
    const source = new RunSource(client, optionalOf(invocation, wanted), invocation.on('offline'))
    const about: Run = { invocation, program, inherited: inherited(), wanted, say }
    const followed = await followedFor(about, source)
    const values =
      followed?.values() ??
      valuesOf(wanted, await fetchAll(source, referencesOf(wanted).map(keyOf)))
    const isSupervised =
      invocation.on('watch') ||
      wanted.files.length > 0 ||
      manner.restart !== 'no' ||
      about.inherited.files.length > 0 ||
      !canReplace()
    if (isSupervised) {
      await using watched = invocation.on('watch') ? followed : undefined
      if (!watched) await followed?.[Symbol.asyncDispose]()
      const { supervise } = await import('./supervise.ts')
      return await supervise(about, manner, values, watched)
    }
    // The cache is written by then.
    await followed?.[Symbol.asyncDispose]()
    return become(about, values)
  } finally {
    client.close()
  }
}

function become(about: Run, values: Values): never {
  const { invocation, program } = about
  const env = environmentFor(about, values, true)
  refuseTooLong(program, env)
  replace(
    launchOf(program, env, invocation.env['PATH'], about.inherited),
    env,
    invocation.words[0] ?? '',
  )
}

/** What flags and files ask for: a flag replaces what a map says of the same variable or file. */
async function readWanted(invocation: Invocation, client: Client): Promise<Wanted> {
  const path = invocation.text('map')
  const map = path === undefined ? undefined : await (await import('./map.ts')).readMap(path)
  const files = uniqueFiles([...(map?.files ?? []), ...readFiles(invocation)])
  const isNamed = ['env', 'env-file', 'prefix'].some((flag) => invocation.texts(flag).length > 0)
  if (isNamed || (!map && files.length === 0)) {
    return { variables: only(invocation, map, await readMapping(invocation, client)), files }
  }
  return { variables: only(invocation, map, []), files }
}

function only(
  invocation: Invocation,
  map: Wanted | undefined,
  mapped: readonly Mapped[],
): Mapped[] {
  const names = listed(invocation, 'only')
  const all = new Map([...(map?.variables ?? []), ...mapped].map((each) => [each.variable, each]))
  refuseDangerous([...all.keys()], invocation.texts('allow-name'))
  return [...all.values()].filter(({ variable }) => names.length === 0 || names.includes(variable))
}

/** The keys of secrets that may be absent: those that nothing but optional variables and files is made of. */
function optionalOf(invocation: Invocation, { variables, files }: Wanted): Set<string> {
  const names = new Set(invocation.texts('optional'))
  const all = [
    ...variables.map(({ variable, from }) => [variable, from] as const),
    ...files.map(({ path, from }) => [path, from] as const),
  ]
  const keys = (isOptional: boolean): string[] =>
    all.flatMap(([name, from]) =>
      'literal' in from || names.has(name) !== isOptional ? [] : [keyOf(from)],
    )
  return new Set(keys(true)).difference(new Set(keys(false)))
}

/** All secrets, or the failure of the first that there is none of. */
async function fetchAll(
  source: RunSource,
  keys: readonly string[],
): Promise<(key: string) => SecretValue> {
  const values = new Map<string, SecretValue>()
  const stop = new AbortController()
  try {
    await atOnce([...new Set(keys)], async (key) => {
      values.set(key, await source.get(key, { signal: stop.signal }))
    })
  } catch (error) {
    stop.abort()
    throw error
  }
  return (key) => values.get(key) as SecretValue
}

/** What follows the secrets; undefined where they are read once, and not from a cache. */
async function followedFor(
  { invocation, wanted, say }: Run,
  source: RunSource,
): Promise<Followed | undefined> {
  const path = invocation.text('cache')
  const isWatching = invocation.on('watch')
  if (path === undefined && !isWatching) return undefined
  const { fileCache, sealedCache } = await import('../../../client/store/file-cache.ts')
  const keyPath = invocation.text('cache-key')
  const cache =
    path === undefined
      ? undefined
      : keyPath === undefined
        ? fileCache(path)
        : sealedCache(path, keyPath)
  const { follow } = await import('./follow.ts')
  return follow({
    source,
    wanted,
    cache,
    maxAgeMs: durationFlag(invocation, 'max-age', '24h', ['1s', '3650d']),
    watch: isWatching,
    pollMs: isWatching ? durationFlag(invocation, 'poll', '30s', ['1s', '7d']) : 0,
    signal: AbortSignal.timeout(invocation.timeoutMs),
    say,
    clock: () => new Date(invocation.io.now()),
    timers: holdingTimers,
  })
}
