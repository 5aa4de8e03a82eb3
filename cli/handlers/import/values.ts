/** `sotto import dotenv`, `json`, `yaml`, `k8s`, `sops` and `openbao`: values that were elsewhere, as secrets. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import { readTextFile } from '../../../client/platform/text-file.ts'
import type { Invocation } from '../../invocation.ts'
import { readDotenv } from '../../readers/dotenv.ts'
import type { Item } from '../../readers/item.ts'
import { readK8s } from '../../readers/k8s.ts'
import { readJson, readYaml } from '../../readers/yaml.ts'
import { Halt, Progress } from '../../terminal/progress.ts'
import { table } from '../../terminal/table.ts'
import { type Deposit, deposit, type Deposited, type DepositReport } from './deposit.ts'
import { readOpenBao } from './openbao.ts'
import { Side } from './side.ts'
import { decrypted } from './sops.ts'

/** Resolves with the items. Throws `local` or `usage` where there are none to be read. */
type Read = (invocation: Invocation, signal: AbortSignal) => Promise<Item[]>

function ofFile(read: (text: string, problem: string) => Item[]): Read {
  return async (invocation) => {
    const path = invocation.word(0) ?? ''
    return read(await readTextFile(path, 'file'), `Cannot import ${quote(path)}`)
  }
}

const readers: Readonly<Record<string, Read>> = {
  dotenv: ofFile((text) => readDotenv(text)),
  json: ofFile(readJson),
  yaml: ofFile(readYaml),
  k8s: ofFile(readK8s),
  sops: async (invocation, signal) => {
    const path = invocation.word(0) ?? ''
    const text = await decrypted(path, invocation, signal)
    return readJson(text, `Cannot import ${quote(path)}, decrypted`)
  },
  openbao: readOpenBao,
}

/** The command that imports from `kind`, a key of `readers`. */
export function importFrom(kind: string): (invocation: Invocation) => Promise<number | void> {
  return (invocation) => importValues(kind, invocation)
}

/**
 * Resolves with the exit code where it was asked to stop. After the report it throws `import_incomplete` where a secret failed
 * or was refused, and what ended the run early.
 */
async function importValues(kind: string, invocation: Invocation): Promise<number | void> {
  const { io, json } = invocation
  const dryRun = invocation.on('dry-run')
  const progress = new Progress(io, io.stderr.isTTY && !json)
  using halt = new Halt(invocation)
  const client = invocation.client({ keepAlive: true })
  let items: readonly Item[] = []
  try {
    items = (await readers[kind]?.(invocation, halt.signal)) ?? []
    if (items.length === 0) throw new SottoError('usage', 'Cannot import: there is nothing in it')
    const report = await deposit({
      items,
      prefix: invocation.text('prefix') ?? '',
      destination: new Side('destination', client, halt),
      activate: invocation.on('activate'),
      emptyOk: invocation.on('empty-ok'),
      dryRun,
      halted: () => halt.asked,
      progress: (done, of) => progress.show(`${done} of ${of} secrets`, done >= of),
    })
    await progress.end()
    const { deposits } = report
    const about = { destination: client.server, dryRun, interrupted: halt.asked }
    await invocation.print({ ...about, secrets: deposits }, (room) =>
      table([['NAME', 'RESULT', 'NOTE'], ...deposits.map((each) => rowOf(each, dryRun))], {
        room,
      }),
    )
    if (!json) await io.stderr.write(wordsFor(report, dryRun))
    if (halt.asked) return halt.exit
    throwUnlessWhole(report)
  } finally {
    for (const { value } of items) value?.fill(0)
    await progress.end()
    client.close()
  }
}

const labels: Readonly<Record<Deposited, string>> = {
  new: 'new',
  changed: 'changed',
  same: 'same',
  unknown: 'new or changed',
  refused: 'REFUSED',
  failed: 'FAILED',
  unfinished: 'not done',
}

function rowOf(
  { name, line, outcome, version, active, reason }: Deposit,
  dryRun: boolean,
): string[] {
  const notes = [
    ...(reason !== undefined && line !== undefined && !name.startsWith('line ')
      ? [`line ${line}`]
      : []),
    ...(reason === undefined ? [] : [reason]),
    ...(version === undefined
      ? []
      : [`version ${version}${active === false ? ', not active' : ''}`]),
    ...(outcome === 'unknown' && dryRun ? ['no rule allows to compare it'] : []),
  ]
  return [name, labels[outcome], ...(notes.length === 0 ? [] : [notes.join(': ')])]
}

function countOf({ deposits }: DepositReport, ...outcomes: readonly Deposited[]): number {
  return deposits.filter(({ outcome }) => outcomes.includes(outcome)).length
}

function wordsFor(report: DepositReport, dryRun: boolean): string {
  const counts = (Object.keys(labels) as Deposited[])
    .map((outcome) => [labels[outcome].toLowerCase(), countOf(report, outcome)] as const)
    .filter(([, count]) => count > 0)
    .map(([label, count]) => `${count} ${label}`)
  const staged = report.deposits.filter(({ active }) => active === false).length
  const lines = [
    `Of ${report.deposits.length} secrets: ${counts.join(', ')}.`,
    ...(dryRun ? ['Nothing was written.'] : []),
    ...(staged > 0 && !dryRun
      ? [
          `Versions that are not active: ${staged}. Activate each, or run this again with --activate.`,
        ]
      : []),
    ...(countOf(report, 'unfinished') > 0 ? ['To finish it, run the same command again.'] : []),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function throwUnlessWhole(report: DepositReport): void {
  if (report.ended !== undefined) throw report.ended
  const failed = countOf(report, 'failed', 'refused')
  if (failed === 0) return
  const message = `${failed} of ${report.deposits.length} secrets were refused or failed; the table says why`
  throw new SottoError('import_incomplete', message, {
    hint: 'Fix that and run the same command again: what is there is not written again.',
  })
}
