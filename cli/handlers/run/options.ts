/** How `sotto run` was asked to run a program, read from its flags. */
import { constants } from 'node:os'
import { quote, SottoError } from '../../../client/api/errors.ts'
import { durationOf } from '../../../client/api/times.ts'
import type { Invocation } from '../../invocation.ts'
import { parseReference } from '../../mapping/reference.ts'
import { checkFilePath } from './file-path.ts'
import type { Manner, OnChange } from './supervisor.ts'
import type { MappedFile } from './values.ts'

/** What does something for `--watch`, or for a cache, alone. */
const needs: readonly (readonly [flag: string, needed: string])[] = [
  ['on-change', 'watch'],
  ['splay', 'watch'],
  ['stop-timeout', 'watch'],
  ['keep-good', 'watch'],
  ['poll', 'watch'],
  ['offline', 'cache'],
  ['max-age', 'cache'],
  ['cache-key', 'cache'],
]

/** Throws `usage` for a flag that would do nothing. */
export function checkFlags(invocation: Invocation): void {
  const isGiven = (flag: string): boolean =>
    invocation.on(flag) || invocation.text(flag) !== undefined || invocation.texts(flag).length > 0
  for (const [flag, needed] of needs) {
    if (isGiven(flag) && !isGiven(needed)) {
      throw new SottoError('usage', `Cannot use --${flag}: it needs --${needed}`)
    }
  }
  if (invocation.on('offline') && invocation.on('watch')) {
    throw new SottoError('usage', 'Cannot use --watch with --offline: there is nobody to ask')
  }
}

/** How the program is kept. Throws `usage`. */
export function readManner(invocation: Invocation): Manner {
  return {
    onChange: readOnChange(invocation.text('on-change') ?? 'restart'),
    splayMs: durationFlag(invocation, 'splay', '0s', ['0s', '1h']),
    stopTimeoutMs: durationFlag(invocation, 'stop-timeout', '10s', ['0s', '1h']),
    restart: readRestart(invocation.text('restart') ?? 'no'),
    keepGood: invocation.on('keep-good'),
  }
}

/** The value of a flag that is a length of time, in milliseconds. Throws `usage`. */
export function durationFlag(
  invocation: Invocation,
  flag: string,
  otherwise: string,
  bounds: readonly [string, string],
): number {
  return durationOf(flag, invocation.text(flag) ?? otherwise, bounds)
}

/** The files that flags ask for. Throws `usage`. */
export function readFiles(invocation: Invocation): MappedFile[] {
  return invocation.texts('file').map((text) => {
    const [, path = '', reference = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? []
    if (path === '' || reference === '') {
      const hint = 'It is PATH=SECRET, such as tls/key.pem=prod/web/tls-key.'
      const message = 'Cannot use a flag --file: it has no path, no = or no secret'
      throw new SottoError('usage', message, { hint })
    }
    const from = parseReference(reference, `Cannot use --file ${quote(path)}`)
    return { path: checkFilePath(path), from }
  })
}

/** Each file once: of two with one path, the later. Throws `usage` where one is to be a folder, too. */
export function uniqueFiles(files: readonly MappedFile[]): MappedFile[] {
  const paths = new Map(files.map((each) => [each.path, each]))
  for (const path of paths.keys()) {
    const inside = [...paths.keys()].find((each) => each.startsWith(`${path}/`))
    if (inside === undefined) continue
    throw new SottoError(
      'usage',
      `Cannot write the file ${quote(path)}: ${quote(inside)} is below it`,
    )
  }
  return [...paths.values()]
}

function readOnChange(text: string): OnChange {
  if (text === 'none' || text === 'restart') return text
  const signal = `SIG${/^signal:(?:SIG)?([A-Z0-9]+)$/.exec(text)?.[1]}`
  if (isSignal(signal)) return signal
  throw new SottoError('usage', `Cannot use ${quote(text)} as --on-change`, {
    hint: 'It is restart, none, or a signal such as signal:HUP.',
  })
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name) && !['SIGKILL', 'SIGSTOP'].includes(name)
}

function readRestart(text: string): Manner['restart'] {
  if (text === 'no' || text === 'on-failure' || text === 'always') return text
  throw new SottoError('usage', `Cannot use ${quote(text)} as --restart`, {
    hint: 'It is no, on-failure or always.',
  })
}
