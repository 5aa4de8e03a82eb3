/** The server itself: runs it, and makes its store. */
import { quote } from '../../client/api/errors.ts'
import {
  logFormatOf,
  readInitConfig,
  type ServerConfig,
  serverConfigOf,
} from '../../server/config/config.ts'
import { proxyNotes } from '../../server/config/proxy-notes.ts'
import { type RunningServer, startServer } from '../../server/start/server.ts'
import { initialise } from '../../server/start/new-store.ts'
import { type Environment, variableIn } from '../../client/api/given.ts'
import { readSettings, setecNotes } from '../../server/config/settings/given.ts'
import { reportFaults } from '../server-faults.ts'
import { openServerLog, type ServerLog } from '../server-log.ts'
import { strayNotes } from '../strays.ts'
import type { Io } from '../terminal/io.ts'
import { interruptible } from '../terminal/progress.ts'

/** Runs a server until the process is asked to stop, and resolves with the exit code. Its log says why it failed, if it did. */
export async function serve(args: readonly string[], env: Environment, io: Io): Promise<number> {
  const { log, config } = settingsOf(args, env, io)
  for (const note of [...(await strayNotes(env, true)), ...setecNotes(env)]) log.warn(note)
  try {
    return await serveWith(config(), { env, io, log })
  } catch (error) {
    return log.failed(error)
  }
}

/** What a server runs in. */
interface Surroundings {
  readonly env: Environment
  readonly io: Io
  readonly log: ServerLog
}

/** The log as the settings have it, and what reads the rest of them. */
function settingsOf(
  args: readonly string[],
  env: Environment,
  io: Io,
): { readonly log: ServerLog; readonly config: () => ServerConfig } {
  try {
    const given = readSettings('server', args, env)
    const log = openServerLog(logFormatOf(given), io, env)
    return { log, config: () => serverConfigOf(given) }
  } catch (error) {
    // Which format was asked for is not known: what is wrong is said in words.
    return { log: openServerLog('text', io, env), config: () => raise(error) }
  }
}

function raise(error: unknown): never {
  throw error
}

async function serveWith(config: ServerConfig, { env, io, log }: Surroundings): Promise<number> {
  for (const note of proxyNotes(config)) log.info(note)
  if (!config.dev && config.configFile) {
    log.info(`settings are read from ${quote(config.configFile.path)}`)
  }
  // SIGUSR1 would open Node's debugger, which reads memory.
  process.on('SIGUSR1', () => {})
  using undo = new DisposableStack()
  undo.use(reportFaults(log))
  using stop = stopSignal(io)
  const server = await startServer(config, {
    logger: log,
    variable: (names) => variableIn(env, names),
  })
  const { url } = server
  await log.show(`listening on ${url}\n`, `listening on ${url}`, { url }, io.stdout)
  if (config.dev) {
    const about = aboutDevelopment(server, config.tailnet)
    await log.show(banner(about, url), about.join(' '))
  }
  log.info(`${await stop.signal}: finishing what was accepted`)
  await server.stop()
  return 0
}

/** Makes a store and resolves with the exit code. Rejects with the SottoError of what is in the way. */
export async function init(args: readonly string[], env: Environment, io: Io): Promise<number> {
  const config = readInitConfig(args, env)
  // A store that is being made is made whole.
  const made = await interruptible(io, (signal) => initialise(config, signal))
  const { services, keyFile, rootFingerprint } = made
  const keys = services.map(({ provider, fingerprint }) => `${provider} ${fingerprint}`)
  if (keyFile) keys.push(keyFile)
  const lines = [
    `store ${made.store}`,
    ...keys.map((key) => `key ${key}`),
    `root ${rootFingerprint}`,
  ]
  await io.stdout.write(`${lines.join('\n')}\n`)
  const [service] = services
  if (service !== undefined) {
    const name = service.provider === 'aws-kms' ? 'AWS KMS' : 'OpenBao Transit'
    await io.stderr.write(
      `The key of ${name} opens the store at every start. If it is deleted, the store can only be opened with another key: see \`sotto help key add\`.\n`,
    )
    return 0
  }
  await io.stderr.write(
    'Without the key file the store cannot be opened: keep a copy of it in another place.\n' +
      'A recovery key opens the store if the key file is lost: see `sotto help key add`.\n',
  )
  if (config.keyFile === undefined) {
    await io.stderr.write(
      'The key file is inside the state directory, so a copy of the directory holds both; --key-file puts it elsewhere.\n',
    )
  }
  return 0
}

/** The first signal that asks to stop. Those after it do nothing: npm passes on what the terminal has sent already. */
function stopSignal(io: Io): Disposable & { readonly signal: Promise<string> } {
  const { promise, resolve } = Promise.withResolvers<string>()
  return Object.assign(io.onInterrupt(resolve), { signal: promise })
}

/** What a development server is, in sentences. */
function aboutDevelopment({ state }: RunningServer, tailnet: string | undefined): string[] {
  const where = state.temporary
    ? `State is in the temporary directory ${quote(state.path)} and is deleted when the server stops.`
    : `State is kept in ${quote(state.path)}.`
  const who = tailnet
    ? `Callers are the nodes of ${quote(tailnet)}, told apart by the loopback address they call from.`
    : 'Every client on this machine that calls from 127.0.0.1 or ::1 may do everything.'
  return ['This is a development server, not safe for production.', where, who]
}

/** What a newcomer needs: what this is, and commands to paste next. */
function banner(about: readonly string[], url: string): string {
  const sotto = import.meta.url.endsWith('.ts') ? 'npm run -s sotto --' : 'sotto'
  return `
${about.join('\n')}

Store a secret, then read it, in another terminal:

  printf 'correct horse' | ${sotto} -s ${url} put demo/passphrase
  ${sotto} -s ${url} get demo/passphrase

Read it with curl:

  curl -s ${url}/api/get -H 'Content-Type: application/json' \\
    -H 'Sec-X-Tailscale-No-Browsers: setec' -d '{"Name":"demo/passphrase"}'

`
}
