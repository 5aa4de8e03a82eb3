/** `sotto server` and `sotto init`: the two verbs that are not clients of a server. */
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
  for (const note of setecNotes(env)) await tell(io.stderr, `${note}\n`)
  // SIGUSR1 would open Node's debugger, which reads memory.
  process.on('SIGUSR1', () => {})
  const stopping = stopSignal()
  const server = await startServer(config, {
    say: (line) => void tell(io.stderr, `${line}\n`),
  })
  await tell(io.stdout, `listening on ${server.url}\n`)
  if (config.dev) await tell(io.stderr, banner(server, config.tailnet))
  const signal = await stopping
  await tell(io.stderr, `${signal}: finishing what was accepted\n`)
  await server.stop()
  return 0
}

/** Makes a store and resolves with the exit code. Rejects with the SottoError of what is in the way. */
export async function init(args: readonly string[], env: Environment, io: Io): Promise<number> {
  const config = readInitConfig(args, env)
  const made = await initialise(config)
  const { services, keyFile } = made
  const keys = [
    ...services.map(({ provider, fingerprint }) => `${provider} ${fingerprint}`),
    ...(keyFile ? [keyFile] : []),
  ]
  await io.stdout.write([`store ${made.store}`, ...keys.map((key) => `key ${key}`), ''].join('\n'))
  const [service] = services
  if (service !== undefined) {
    const name = service.provider === 'aws-kms' ? 'AWS KMS' : 'OpenBao Transit'
    await io.stderr.write(
      `The key of ${name} opens the store at every start. Were it deleted, nobody could read the store without another key: see \`sotto help key add\`.\n`,
    )
    return 0
  }
  await io.stderr.write(
    'Without the key file nobody can read the store: keep a copy of it in another place.\n',
  )
  await io.stderr.write(
    'A recovery key opens it, should the key file be lost: see `sotto help key add`.\n',
  )
  if (config.keyFile === undefined) {
    await io.stderr.write(
      'The key file is inside the state directory, so a copy of the directory holds both; --key-file puts it elsewhere.\n',
    )
  }
  return 0
}

/** Writes what somebody may want to know; that nobody reads any more does not stop a server. */
async function tell(output: Output, text: string): Promise<void> {
  await output.write(text).catch(() => {})
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => resolve(signal))
    }
  })
}

/** What a newcomer needs: what this is, and commands to paste next. */
function banner({ url, state }: RunningServer, tailnet: string | undefined): string {
  const sotto = import.meta.url.endsWith('.ts') ? 'npm run -s sotto --' : 'sotto'
  const where = state.temporary
    ? `State is in the temporary directory ${quote(state.path)} and goes when the server stops.`
    : `State is kept in ${quote(state.path)}.`
  const who = tailnet
    ? `Callers are the nodes of ${quote(tailnet)}, told apart by the loopback address they call from.`
    : 'Whoever calls from 127.0.0.1 on this machine may do everything.'
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
