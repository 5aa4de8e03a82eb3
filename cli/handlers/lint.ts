/** Checks files for what does not belong there: values of secrets above all. No value is printed, and nothing is asked of a network. */
import { existsSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { FOUND } from '../command.ts'
import type { Invocation } from '../invocation.ts'
import { recordLine } from '../json.ts'
import { isMeant, plainPolicy, type Policy, POLICY_FILE, readPolicy } from '../lint/policy.ts'
import { isAllowed, rules } from '../lint/rules.ts'
import { type Finding, sarifOf } from '../lint/sarif.ts'
import { isExample, type Text, textsOf } from '../lint/text.ts'
import { contentOf, type NotRead, treeOf } from '../lint/tree.ts'
import { filled, textWidth } from '../terminal/layout.ts'
import { table } from '../terminal/table.ts'
import { isInGit } from './export-output.ts'

/** What came of it. */
interface Checked {
  readonly findings: Finding[]
  /** Those that a comment allows. */
  allowed: number
  /** The files that were read. */
  files: number
  readonly notRead: NotRead[]
}

/** `sotto lint PATH…` */
export async function lint(invocation: Invocation): Promise<number> {
  const format = invocation.text('format') ?? 'table'
  if (format !== 'table' && format !== 'sarif') {
    throw new SottoError('usage', `Cannot print as ${quote(format)}: --format is table or sarif`)
  }
  const top = policyFolder(invocation)
  const file = invocation.text('config') ?? join(top, POLICY_FILE)
  const isGiven = invocation.text('config') !== undefined || existsSync(file)
  const policy = isGiven ? await readPolicy(file) : plainPolicy
  const checked: Checked = { findings: [], allowed: 0, files: 0, notRead: [] }
  const done = new Set<string>()
  for (const path of invocation.words) {
    const { files, notRead } = treeOf(path)
    checked.notRead.push(...notRead.map((each) => ({ ...each, path: shown(each.path) })))
    for (const each of files) {
      const whole = resolve(each)
      if (done.has(whole)) continue
      done.add(whole)
      await check(each, placeIn(top, whole, path), policy, checked)
    }
  }
  await print(invocation, format, checked)
  if (checked.findings.length > 0) return FOUND
  const [fault] = checked.notRead.filter(({ isFault }) => isFault)
  if (fault === undefined) return 0
  throw new SottoError('local', `Cannot check all: ${quote(fault.path)} was not read: ${fault.why}`)
}

/** Where the file of the policy is looked for, and what paths in it are from: the first PATH that has one, or the current folder. */
function policyFolder({ words }: Invocation): string {
  return resolve(words.find((path) => existsSync(join(path, POLICY_FILE))) ?? '.')
}

/** The path that rules see: from `top`, or, of what is outside, with the last part of the PATH that was given. */
function placeIn(top: string, whole: string, given: string): string {
  const inside = relative(top, whole)
  const place = inside.startsWith('..') ? relative(dirname(resolve(given)), whole) : inside
  return place.replaceAll('\\', '/')
}

async function check(file: string, place: string, policy: Policy, into: Checked): Promise<void> {
  if (basename(file) === POLICY_FILE || isMeant(policy.exclude, place)) return
  const content = contentOf(file)
  if (typeof content !== 'string') {
    into.notRead.push({ ...content, path: shown(content.path) })
    return
  }
  into.files++
  for (const text of textsOf(place, content, await isCommitted(file))) {
    for (const finding of findingsIn(text, policy)) {
      if (isAllowed(text, finding, finding.rule)) into.allowed++
      else into.findings.push({ file: shown(file), ...finding })
    }
  }
}

/** Of a file of variables, whether git would commit it, or, of an example, the one that it is copied to. */
async function isCommitted(file: string): Promise<boolean | undefined> {
  if (!/(?:^|\/)\.env[^/]*$/.test(file)) return undefined
  const beside = join(dirname(file), '.env')
  if (!isExample(file)) return isInGit(file)
  return existsSync(beside) ? false : isInGit(beside)
}

/** In the order of lines, each once. */
function findingsIn(text: Text, policy: Policy): Omit<Finding, 'file'>[] {
  const found = rules.flatMap(({ id, check: hits }) =>
    Array.from(hits(text, policy), ({ line, ...hit }) => ({ line, rule: id, ...hit })),
  )
  const byPlace = new Map(found.map((each) => [`${each.line} ${each.rule} ${each.name}`, each]))
  return [...byPlace.values()].toSorted((a, b) => a.line - b.line)
}

async function print(invocation: Invocation, format: string, checked: Checked): Promise<void> {
  const { findings, notRead } = checked
  if (format === 'sarif') {
    return invocation.io.stdout.write(recordLine(sarifOf(findings, notRead)))
  }
  await invocation.print(checked, (room) => {
    const rows = findings.map(({ file, line, rule, name, instead }) => [
      `${file}:${line}`,
      rule,
      ...(instead === undefined ? [name] : [name, instead]),
    ])
    const isAdvised = findings.some(({ instead }) => instead !== undefined)
    const head = ['PLACE', 'RULE', 'NAME', ...(isAdvised ? ['INSTEAD'] : [])]
    const met = rules.filter(({ id }) => findings.some(({ rule }) => rule === id))
    const advice = met.map(({ id, finds, why, instead }) =>
      filled(`${id}: ${finds}. ${why} ${instead}`, textWidth(invocation.io.stdout)),
    )
    return [
      table(rows.length === 0 ? [] : [head, ...rows], { room, gap: 2 }),
      ...advice.map((each) => `\n${each}\n`),
      ...(rows.length === 0 ? [] : ['\n']),
      `${summaryOf(checked)}\n`,
      ...notRead.map(({ path, why }) => `Not read: ${quote(path)}: ${why}\n`),
    ].join('')
  })
}

function summaryOf({ findings, files, allowed }: Checked): string {
  const { length } = findings
  const count = length === 0 ? 'No findings' : length === 1 ? '1 finding' : `${length} findings`
  const rest = allowed === 0 ? '' : `, ${allowed} allowed`
  return `${count} in ${files === 1 ? '1 file' : `${files} files`}${rest}`
}

function shown(path: string): string {
  const inside = relative('.', path)
  return inside.startsWith('..') ? resolve(path) : inside
}
