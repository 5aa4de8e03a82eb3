/**
 * The configuration file: one map of settings, by the names of their flags. It holds no secret, so everybody may read
 * it. Who can write it decides which keys open the store and where backups go: that is root and the user alone.
 */
import { statSync } from 'node:fs'
import { isAlias, isMap, isScalar, isSeq } from 'yaml'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { type Environment, variableIn } from '../../../client/api/given.ts'
import { nearest } from '../../../client/api/nearest.ts'
import { refuseForeign } from '../../../client/platform/owned.ts'
import { isAbsent, systemError } from '../../../client/platform/system-error.ts'
import { readTextFileNow } from '../../../client/platform/text-file.ts'
import { parseYaml, type Yaml } from '../../platform/yaml.ts'
import { readSwitch, type Setting } from './setting.ts'
import { settings } from './table.ts'

/** The file that is read where none is named. */
export const CONFIG_FILE = '/etc/sotto/config.yaml'

const KIND = 'configuration file'
const MAX_BYTES = 1024 * 1024

/** A setting as the file has it. */
export interface InFile {
  /** A boolean for a switch. */
  readonly value: string | boolean
  readonly line: number
}

/** A configuration file that was read. */
export interface ConfigFile {
  readonly path: string
  /** What it has, by flag. */
  readonly settings: ReadonlyMap<string, InFile>
}

/**
 * Reads the file that `named`, or else the environment, names, and otherwise the one at `usual`, if it is there.
 * Throws `unsafe` where others could change it, `local` where it cannot be read, `usage` for what is not in the table.
 */
export function findConfigFile(
  named: string | undefined,
  env: Environment,
  usual = CONFIG_FILE,
): ConfigFile | undefined {
  const path = named ?? variableIn(env, ['SOTTO_CONFIG'], 'FILE')?.value
  if (path !== undefined) return readConfigFile(path)
  return isThere(usual) ? readConfigFile(usual) : undefined
}

/** Reads the file at `path`. Throws as `findConfigFile`. */
export function readConfigFile(path: string): ConfigFile {
  const problem = `Cannot use the ${KIND} ${quote(path)}`
  refuseForeign(path, `the ${KIND} ${quote(path)}`)
  refuseNoFile(path, problem)
  return { path, settings: settingsIn(readTextFileNow(path, KIND), problem) }
}

function isThere(path: string): boolean {
  try {
    return statSync(path) !== undefined
  } catch (error) {
    if (isAbsent(error)) return false
    throw systemError(error, `read the ${KIND}`, path)
  }
}

/** Before it is opened: that would wait for the writer of a named pipe. */
function refuseNoFile(path: string, problem: string): void {
  let found
  try {
    found = statSync(path)
  } catch (error) {
    const hint = isAbsent(error) ? '`sotto config example` prints one to begin with.' : undefined
    throw systemError(error, `read the ${KIND}`, path, { hint })
  }
  const why = found.isFile() ? 'it has more than 1 MiB' : 'it is not a regular file'
  if (!found.isFile() || found.size > MAX_BYTES) throw new SottoError('local', `${problem}: ${why}`)
}

function settingsIn(text: string, problem: string): Map<string, InFile> {
  const yaml = parseYaml(text, problem)
  const [document, second] = yaml.documents
  if (second) throw yaml.fault(second.range[0], 'it has a second document')
  const found = new Map<string, InFile>()
  const { contents } = document ?? {}
  // A file with comments alone says nothing, and is as good as none.
  if (!contents || (isScalar(contents) && contents.value === null)) return found
  if (!isMap(contents)) {
    const hint = 'Write one setting a line, as `state-dir: /var/lib/sotto`.'
    throw yaml.fault(contents.range[0], 'it is not a map of settings', hint)
  }
  for (const { key, value } of contents.items) {
    const offset = key.range?.[0] ?? 0
    const setting = settingNamed(isScalar(key) ? String(key.value) : '', offset, yaml)
    found.set(setting.flag, {
      value: valueOf(setting, value, offset, yaml),
      line: yaml.lineOf(offset),
    })
  }
  return found
}

function settingNamed(key: string, offset: number, { fault }: Yaml): Setting {
  const setting = settings.find(({ flag }) => flag === key)
  if (setting?.inFile) return setting
  if (setting) throw fault(offset, `${key} is not for a file: use the flag --${key}`)
  const spelled = key
    .replace(/^SOTTO_/, '')
    .replaceAll(/(?<=[a-z])(?=[A-Z])|_/g, '-')
    .toLowerCase()
  const inFile = settings.filter((each) => each.inFile)
  const meant =
    inFile.find(({ setec }) => setec === spelled)?.flag ??
    nearest(
      spelled,
      inFile.map(({ flag }) => flag),
    )
  const hint =
    meant === undefined ? '`sotto config example` has all of them.' : `Did you mean ${meant}?`
  throw fault(offset, `there is no setting ${quote(key)}`, hint)
}

function valueOf(setting: Setting, node: unknown, offset: number, yaml: Yaml): string | boolean {
  const { flag, value, many } = setting
  if (many && isSeq(node)) {
    const texts = node.items.map((each) => textOf(flag, each, offset, yaml))
    const odd = texts.find((text) => text.includes(','))
    if (odd !== undefined) throw yaml.fault(offset, `${flag} has a comma in one of its values`)
    if (texts.length > 0) return texts.join(',')
  }
  const text = textOf(flag, node, offset, yaml)
  if (value !== undefined) {
    refuseRelative(setting, text, offset, yaml)
    return text
  }
  const on = readSwitch(text)
  if (on === undefined) throw yaml.fault(offset, `${flag} is neither true nor false`)
  return on
}

/** The text of a value as it was written: a number may begin with a 0. */
function textOf(flag: string, node: unknown, offset: number, { fault }: Yaml): string {
  if (isAlias(node) || !(node === null || isScalar(node))) {
    throw fault(offset, `${flag} has no text for its value`)
  }
  const { value = null, type, source } = node ?? {}
  const text = type === 'PLAIN' ? (source ?? '') : String(value)
  if (value === null || text.trim() === '') {
    throw fault(offset, `the value of ${flag} is empty`, 'Leave the line out, or give it a value.')
  }
  if (/[\r\n]/.test(text)) throw fault(offset, `the value of ${flag} has more than one line`)
  if (!isSecret(text)) return text
  const hint =
    'Everybody may read this file. Put the secret into a file of its own, mode 0600, and name that here.'
  throw fault(offset, `the value of ${flag} looks like a secret`, hint)
}

/** What is known not to be the name of anything: an identity of age, a key or a token, a password in a URL. */
function isSecret(text: string): boolean {
  return (
    /AGE-(?:SECRET-KEY|PLUGIN)-|-----BEGIN |^(?:hv[sbr]|[sbr])\.\w{20}/i.test(text) ||
    (URL.parse(text)?.password ?? '') !== ''
  )
}

/** A server may run in any folder. */
function refuseRelative({ flag, value = '' }: Setting, text: string, at: number, yaml: Yaml): void {
  const isPath = /^(?:FILE|DIR)\b/.test(value) && !/^[a-z][a-z0-9+.-]*:\/\//i.test(text)
  if (!isPath || text.startsWith('/')) return
  throw yaml.fault(at, `${flag} is not a whole path`, 'Begin it with /.')
}
