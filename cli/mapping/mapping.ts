/** Which variables get which secrets: flags and files, read into one list. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { CallOptions, Client } from '../../client/client.ts'
import type { Invocation } from '../invocation.ts'
import { isSame, parseReference, type Reference, SCHEME } from './reference.ts'
import { refuseDangerous, variableOf } from './variables.ts'

/** A variable, and where its value comes from. */
export interface Mapped {
  readonly variable: string
  readonly from: Reference | Literal
}

/** A value that is in a file as it is. */
interface Literal {
  readonly literal: Uint8Array
}

/**
 * The variables that the flags of `flags.ts` ask for, in the order of --prefix, --env-file and -e, each once. The names of
 * secrets are asked for where there is a --prefix. Throws `usage` for what cannot be read, for two secrets of one
 * variable and for a variable that decides which programs run, and `not_found` for a prefix that no name has.
 */
export async function readMapping(
  invocation: Invocation,
  client: Client,
  options: CallOptions = {},
): Promise<Mapped[]> {
  const prefixes = invocation.texts('prefix')
  const files = invocation.texts('env-file')
  const flags = invocation.texts('env')
  if (prefixes.length + files.length + flags.length === 0) {
    const hint = 'Use -e NAME=SECRET, --prefix PREFIX or --env-file FILE.'
    throw new SottoError('usage', 'No variable is named', { hint })
  }
  // What is wrong with flags and files is found before any server is asked.
  const byFlag = unique(flags.map(ofFlag))
  const byFile: Mapped[] = []
  for (const file of files) byFile.push(...(await ofFile(file)))
  const byPrefix = prefixes.length === 0 ? [] : await ofPrefixes(prefixes, client, options)
  const last = new Map([...byPrefix, ...byFile, ...byFlag].map((each) => [each.variable, each]))
  refuseDangerous([...last.keys()], invocation.texts('allow-name'))
  return [...last.values()]
}

/** What a message calls a variable: the secret that it gets, and its name. */
export function originOf({ variable, from }: Mapped): string {
  return 'literal' in from ? quote(variable) : `${quote(from.secret)} as ${variable}`
}

function ofFlag(text: string): Mapped {
  const [, variable = '', reference = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? []
  if (variable === '' || reference === '') {
    // What was typed is not repeated: it may be a value.
    const hint = 'It is NAME=SECRET, such as DB_URL=prod/app/db-url.'
    throw new SottoError('usage', 'Cannot use a flag -e: it has no name, no = or no secret', {
      hint,
    })
  }
  const bare = reference.startsWith(SCHEME) ? reference.slice(SCHEME.length) : reference
  return { variable, from: parseReference(bare, `Cannot use -e ${quote(variable)}`) }
}

async function ofFile(path: string): Promise<Mapped[]> {
  // Loaded only for a file: a program that is run with secrets is to start soon.
  const [{ readTextFile }, { readDotenv }] = await Promise.all([
    import('../../client/platform/text-file.ts'),
    import('../readers/dotenv.ts'),
  ])
  const items = readDotenv(await readTextFile(path, 'file of variables'), SCHEME)
  const where = (line: number | undefined): string => `Cannot use ${quote(path)}: line ${line}`
  return items.map(({ name, line, value, refusal }) => {
    if (value === undefined) throw new SottoError('usage', `${where(line)}: ${refusal}`)
    const text = Buffer.from(value).toString()
    if (!text.startsWith(SCHEME)) return { variable: name, from: { literal: value } }
    return { variable: name, from: parseReference(text.slice(SCHEME.length), where(line)) }
  })
}

async function ofPrefixes(
  prefixes: readonly string[],
  client: Client,
  options: CallOptions,
): Promise<Mapped[]> {
  const broken = prefixes.find((each) => /[A-Za-z0-9]$/.test(each))
  if (broken !== undefined) {
    const hint = `Write --prefix ${quote(`${broken}/`)}: else names that only begin alike would be taken, too.`
    throw new SottoError('usage', `Cannot use the prefix ${quote(broken)}: it ends inside a name`, {
      hint,
    })
  }
  const names = (await client.list(options)).map(({ Name }) => Name)
  const mapped = prefixes.flatMap((prefix) => {
    const found = names.filter((name) => name.startsWith(prefix) && name.length > prefix.length)
    if (found.length > 0) return found.map((name) => ofName(name, prefix))
    const hint = 'A prefix shows the secrets that your rules allow you info on.'
    throw new SottoError(
      'not_found',
      `There is no secret whose name begins with ${quote(prefix)}`,
      { hint },
    )
  })
  return unique(mapped)
}

function ofName(secret: string, prefix: string): Mapped {
  const variable = variableOf(secret.slice(prefix.length))
  if (variable !== undefined) return { variable, from: { secret, field: [], version: 0 } }
  const hint = 'Name it by -e NAME=SECRET, and use a longer --prefix for the others.'
  throw new SottoError('usage', `Cannot make a variable of the name ${quote(secret)}`, { hint })
}

/** Each variable once. Throws `usage` where one has two secrets. */
function unique(mapped: readonly Mapped[]): Mapped[] {
  const kept = new Map<string, Mapped>()
  for (const each of mapped) {
    const other = kept.get(each.variable)
    if (other && !isEqual(other, each)) {
      const hint = 'Give one of them another name, by -e NAME=SECRET.'
      throw new SottoError(
        'usage',
        `Cannot set ${quote(each.variable)} twice: from ${sourceOf(other)} and from ${sourceOf(each)}`,
        { hint },
      )
    }
    kept.set(each.variable, each)
  }
  return [...kept.values()]
}

function isEqual({ from: a }: Mapped, { from: b }: Mapped): boolean {
  return !('literal' in a) && !('literal' in b) && isSame(a, b)
}

function sourceOf({ from }: Mapped): string {
  if ('literal' in from) return 'a file'
  const field = from.field.length === 0 ? '' : `#${from.field.join('.')}`
  return quote(`${from.secret}${field}${from.version === 0 ? '' : `@${from.version}`}`)
}
