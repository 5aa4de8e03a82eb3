/** The server itself: runs it, and makes its store. */
import { quote } from '../../client/api/errors.ts'
import { readInitConfig, readServerConfig } from '../../server/config/config.ts'
import { type RunningServer, startServer } from '../../server/start/server.ts'
import { initialise } from '../../server/start/new-store.ts'
import { type Environment, setecNotes } from '../../server/config/settings/given.ts'
import type { Io, Output } from '../terminal/io.ts'

/**
 * Runs a server until the process is asked to stop, and resolves with the exit code. Rejects with
 * the SottoError of what kept it from starting.
 */
export async function serve(args: readonly string[], env: Environment, io: Io): Promise<number> {
  const config = readServerConfig(args, env)
  for (const note of setecNotes(env)) await write(io.stderr, `${note}\n`)
  // SIGUSR1 would open Node's debugger, which reads memory.
  process.on('SIGUSR1', () => {})
  const stopping = stopSignal()
  const server = await startServer(config, { say: (line) => void write(io.stderr, `${line}\n`) })
  await write(io.stdout, `listening on ${server.url}\n`)
  if (config.dev) await write(io.stderr, banner(server, config.tailnet))
  const signal = await stopping
  await write(io.stderr, `${signal}: finishing what was accepted\n`)
  await server.stop()
  return 0
}

/** Makes a store and resolves with the exit code. Rejects with the SottoError of what is in the way. */
export async function init(args: readonly string[], env: Environment, io: Io): Promise<number> {
  const config = readInitConfig(args, env)
  const made = await initialise(config)
  const { services, keyFile } = made
  const keys = services.map(({ provider, fingerprint }) => `${provider} ${fingerprint}`)
  if (keyFile) keys.push(keyFile)
  await io.stdout.write([`store ${made.store}`, ...keys.map((key) => `key ${key}`), ''].join('\n'))
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

/** Writes to a person. A server runs on when its output is closed. */
async function write(output: Output, text: string): Promise<void> {
  await output.write(text).catch(() => {})
}

function stopSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal))
  return promise
}

/** What a newcomer needs: what this is, and commands to paste next. */
function banner({ url, state }: RunningServer, tailnet: string | undefined): string {
  const sotto = import.meta.url.endsWith('.ts') ? 'npm run -s sotto --' : 'sotto'
  const where = state.temporary
    ? `State is in the temporary directory ${quote(state.path)} and is deleted when the server stops.`
    : `State is kept in ${quote(state.path)}.`
  const who = tailnet
    ? `Callers are the nodes of ${quote(tailnet)}, told apart by the loopback address they call from.`
    : 'Every client on this machine that calls from 127.0.0.1 may do everything.'
  return `
This is a development server, not safe for production.
${where}
${who}

Store a secret, then read it, in another terminal:

  printf 'correct horse' | ${sotto} -s ${url} put demo/passphrase
  ${sotto} -s ${url} get demo/passphrase

Read it with curl:

  curl -s ${url}/api/get -H 'Content-Type: application/json' \\
    -H 'Sec-X-Tailscale-No-Browsers: setec' -d '{"Name":"demo/passphrase"}'

`
}
