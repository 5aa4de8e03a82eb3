/** `sotto export`: secrets in the form that another program reads. */
import { randomBytes } from 'node:crypto'
import { quote, SottoError } from '../../client/api/errors.ts'
import { variableIn } from '../../client/api/given.ts'
import { visible } from '../../client/api/visible.ts'
import { dialects } from '../formats/dotenv.ts'
import type { Format, FormatOptions } from '../formats/format.ts'
import { masks } from '../formats/github.ts'
import { formats } from '../formats/table.ts'
import type { Invocation } from '../invocation.ts'
import { type Fetched, fetchMapped } from '../mapping/fetch.ts'
import { originOf, readMapping } from '../mapping/mapping.ts'
import { interruptible } from '../terminal/progress.ts'
import { appendTo, fillDirectory, isInGit, replaceFile } from './export-output.ts'

/** Reads the secrets and writes them, or throws and writes nothing: `usage` also for a value that the format cannot carry. */
export async function exportSecrets(invocation: Invocation): Promise<void> {
  const name = invocation.text('format') ?? ''
  const format = Object.hasOwn(formats, name) ? formats[name] : undefined
  if (format === undefined) throw unknownFormat(name)
  const options = optionsOf(invocation, name)
  const target = targetOf(invocation, name)
  const client = invocation.client({ keepAlive: true })
  try {
    const fetched = await interruptible(invocation.io, async (signal) =>
      fetchMapped(client, await readMapping(invocation, client, { signal }), { signal }),
    )
    refuse(fetched, name, format, options)
    await write({ invocation, fetched, name, format, options, target })
    for (const { value } of fetched) value.fill(0)
  } finally {
    client.close()
  }
}

function unknownFormat(name: string): SottoError {
  const hint = `It is one of: ${Object.keys(formats).join(', ')}.`
  const message = name === '' ? 'No --format is given' : `There is no format ${quote(name)}`
  return new SottoError('usage', message, { hint })
}

function optionsOf(invocation: Invocation, format: string): FormatOptions {
  const dialect = invocation.text('dialect')
  const name = invocation.text('name')
  const base64 = invocation.on('base64')
  const misplaced =
    (dialect !== undefined && format !== 'dotenv' && ['dialect', 'dotenv']) ||
    (name !== undefined && format !== 'k8s' && ['name', 'k8s']) ||
    (base64 && !['json', 'yaml'].includes(format) && ['base64', 'json and yaml'])
  if (misplaced) {
    throw new SottoError('usage', `The flag --${misplaced[0]} is only for --format ${misplaced[1]}`)
  }
  if (format === 'dotenv' && (dialect === undefined || !dialects.includes(dialect))) {
    const hint = `Readers of .env files differ. Name yours: ${dialects.join(', ')}.`
    const what =
      dialect === undefined ? 'No --dialect is given' : `There is no dialect ${quote(dialect)}`
    throw new SottoError('usage', what, { hint })
  }
  if (format === 'k8s' && name === undefined) {
    throw new SottoError('usage', 'No --name is given for the Secret of Kubernetes')
  }
  const mark = `sotto-${randomBytes(16).toString('hex')}`
  return {
    base64,
    mark,
    ...(dialect !== undefined && { dialect }),
    ...(name !== undefined && { name }),
  }
}

/** The file or directory; undefined for stdout. */
function targetOf(invocation: Invocation, format: string): string | undefined {
  const given = invocation.text('to')
  if (given !== undefined) return given
  if (format === 'credentials') {
    throw new SottoError('usage', 'No --to DIR is given: credentials are files of a directory')
  }
  if (format !== 'github') return undefined
  const variable = variableIn(invocation.env, ['GITHUB_ENV'])
  if (variable !== undefined) return variable.value
  const hint = 'A step of a job of GitHub Actions has it; elsewhere use --to FILE.'
  throw new SottoError('usage', 'GITHUB_ENV is not set', { hint })
}

/** Throws for what the format cannot carry, with each of the names. */
function refuse(
  fetched: readonly Fetched[],
  name: string,
  { reader, refusal, refusalOfAll }: Format,
  options: FormatOptions,
): void {
  const found = fetched.flatMap((each) => {
    const why = refusal(each, options)
    return why === undefined ? [] : [`${originOf(each)}: ${why}`]
  })
  const ofAll = found.length > 0 ? undefined : refusalOfAll?.(fetched, options)
  const faults = ofAll === undefined ? found : [ofAll]
  if (faults.length === 0) return
  const [only] = faults
  const message =
    faults.length === 1 ? only : `${faults.length} of ${fetched.length}: ${faults.join('; ')}`
  throw new SottoError('usage', `Cannot export for ${reader}: ${message}`, {
    hint:
      name === 'credentials'
        ? undefined
        : 'Nothing was written. --format credentials takes any bytes.',
  })
}

interface Written {
  readonly invocation: Invocation
  readonly fetched: readonly Fetched[]
  readonly name: string
  readonly format: Format
  readonly options: FormatOptions
  readonly target: string | undefined
}

async function write({
  invocation,
  fetched,
  name,
  format,
  options,
  target,
}: Written): Promise<void> {
  const { io, json } = invocation
  const content = format.write?.(fetched, options)
  if (target === undefined) return io.stdout.write(content ?? '')
  if (name === 'github') {
    // Before the values are anywhere that a step could print them.
    await io.stdout.write(masks(fetched), { raw: true })
    await appendTo(target, content ?? new Uint8Array(0))
  } else if (content === undefined) {
    const files = fetched.map(({ variable, value }) => ({ name: variable, content: value }))
    await fillDirectory(target, files)
  } else await replaceFile(target, content)
  content?.fill(0)
  if (await isInGit(target)) {
    const path = visible(quote(target))
    await io.stderr.write(`Note: git does not ignore ${path}: it could be committed\n`)
  }
  // What a workflow reads from stdout are commands.
  if (json && name !== 'github') await invocation.print(reportOf(fetched, name, target), () => '')
}

function reportOf(fetched: readonly Fetched[], format: string, to: string): object {
  const variables = fetched.map(({ variable, from, version }) => ({
    variable,
    ...('secret' in from && { secret: from.secret, version }),
  }))
  return { format, to, variables }
}
