/** The configuration file: checks it, shows what is in effect, prints one to begin with. */
import { quote, SottoError } from '../../client/api/errors.ts'
import type { Environment } from '../../client/api/given.ts'
import { visible } from '../../client/api/visible.ts'
import { doctorConfigOf, readDoctorConfig } from '../../server/config/config.ts'
import { exampleFile } from '../../server/config/settings/example.ts'
import { CONFIG_FILE } from '../../server/config/settings/file.ts'
import { readSettings, type Source } from '../../server/config/settings/given.ts'
import { defaultOf, settings } from '../../server/config/settings/table.ts'
import type { Invocation } from '../invocation.ts'
import { jsonLine } from '../json.ts'
import type { Io } from '../terminal/io.ts'
import { roomOf } from '../terminal/layout.ts'
import { table } from '../terminal/table.ts'

/** `sotto config check`: throws what the server would, and `local` where there is no file. */
export async function configCheck(invocation: Invocation): Promise<void> {
  const named = invocation.text('config')
  const { configFile } = readDoctorConfig(
    named === undefined ? [] : ['--config', named],
    invocation.env,
  )
  if (configFile === undefined) {
    throw new SottoError('local', `There is no configuration file ${quote(CONFIG_FILE)}`, {
      hint: 'Name another with --config; `sotto config example` prints one to begin with.',
    })
  }
  const { path, count } = configFile
  await invocation.print(
    { path, settings: count },
    () => `${quote(path)}: ${count} ${count === 1 ? 'setting' : 'settings'}, all understood\n`,
  )
}

/** `sotto config example`: prints a file with every setting. */
export async function configExample(invocation: Invocation): Promise<void> {
  await invocation.io.stdout.write(exampleFile())
}

/** `sotto config show`: prints each setting with where it was given, and resolves with the exit code. Rejects with `usage`. */
export async function configShow(
  args: readonly string[],
  env: Environment,
  io: Io,
): Promise<number> {
  const given = readSettings('doctor', args, env, { command: 'config show' })
  const { json } = doctorConfigOf(given)
  const rows = settings
    .filter(({ inFile }) => inFile)
    .map((setting) => {
      const { flag, value } = setting
      const source = given.source(flag)
      const text = value === undefined ? given.on(flag) : given.value(flag)
      return { setting: flag, value: source ? text : undefined, source, usual: defaultOf(setting) }
    })
  const file = given.file()
  if (json) {
    const shown = rows.map(({ setting, value, source, usual }) => ({
      setting,
      ...(source ? { value } : { default: usual }),
      source: source?.kind ?? 'default',
      ...(source?.kind === 'file' && { line: source.line }),
      ...(source?.kind === 'environment' && { variable: source.variable }),
    }))
    await io.stdout.write(jsonLine({ file: file?.path, settings: shown }))
    return 0
  }
  await io.stderr.write(
    file === undefined
      ? 'No configuration file is read.\n'
      : `The configuration file is ${visible(quote(file.path))}.\n`,
  )
  const cells = rows.map(({ setting, value, source, usual }) => [
    setting,
    source ? sourceWords(source) : 'default',
    source ? `${value}` : usual,
  ])
  await io.stdout.write(
    table([['SETTING', 'SOURCE', 'VALUE'], ...cells], { room: roomOf(io.stdout) }),
  )
  return 0
}

function sourceWords(source: Source): string {
  if (source.kind === 'file') return `file, line ${source.line}`
  return source.kind === 'environment' ? `$${source.variable}` : 'flag'
}
