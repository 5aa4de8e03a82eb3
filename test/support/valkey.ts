/** A real Valkey for tests, on loopback, with its users in a file; it can be killed and started again. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { requirePeer } from './peers.ts'
import { TestProcess } from './process.ts'

/** How a server is set up. */
export interface ValkeyOptions {
  /** The port of the one that it is a replica of. */
  readonly replicaOf?: number
  /** Where its users are kept. Default: a file of their own. */
  readonly users?: 'file' | 'configuration' | 'nowhere'
}

/** A Valkey that is up. */
export interface Valkey extends AsyncDisposable {
  readonly port: number
  /** As rotations name it. */
  readonly server: string
  /** Sends a command as `user`, and resolves with all that is answered, as it is on the wire. */
  command(user: string, password: string, words: readonly string[]): Promise<string>
  /** Everything that it logged. */
  log(): string
  kill(): Promise<void>
  start(): Promise<void>
}

/** The password of `default`, who may do everything. */
export const ROOT = 'the-root'

/** Starts one, which takes less than a second. */
export async function startValkey({
  replicaOf,
  users = 'file',
}: ValkeyOptions = {}): Promise<Valkey> {
  const scratch = mkdtempSync(join(tmpdir(), 'sotto-valkey-'))
  const port = await freePort()
  const root = `user default on >${ROOT} ~* &* +@all\n`
  const file = join(scratch, 'users.acl')
  const settings = [
    'bind 127.0.0.1',
    `port ${port}`,
    `dir ${scratch}`,
    'save ""',
    'appendonly no',
    'loglevel debug',
    ...(replicaOf === undefined
      ? []
      : [`replicaof 127.0.0.1 ${replicaOf}`, `primaryauth ${ROOT}`, 'repl-ping-replica-period 1']),
    ...(users === 'file' ? [`aclfile ${file}`] : []),
  ]
  if (users === 'file') writeFileSync(file, root)
  const config = join(scratch, 'valkey.conf')
  const own = users === 'file' ? '' : root
  writeFileSync(config, `${settings.join('\n')}\n${own}`)
  /** Without a file of its own it has nowhere to write to. */
  const args =
    users === 'nowhere'
      ? [...settings.flatMap((line) => `--${line}`.split(' ')), '--requirepass', ROOT]
      : [config]
  const processes: TestProcess[] = []
  const start = async (): Promise<void> => {
    const server = new TestProcess(requirePeer('valkey-server'), args.map(unquoted))
    processes.push(server)
    await server.line(/Ready to accept connections/)
  }
  const kill = async (): Promise<void> => processes.at(-1)?.kill()
  await start()
  return {
    port,
    server: `valkey://127.0.0.1:${port}`,
    command: (user, password, words) => send(port, [['AUTH', user, password], words, ['QUIT']]),
    log: () => processes.map(({ output }) => output).join(''),
    kill,
    start,
    [Symbol.asyncDispose]: async () => {
      await kill()
      rmSync(scratch, { recursive: true, force: true })
    },
  }
}

const unquoted = (word: string): string => (word === '""' ? '' : word)

/** Sends commands, and resolves with what is answered until the server ends the connection. */
export async function send(
  port: number,
  commands: readonly (readonly string[])[],
): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  for (const words of commands) {
    const bulk = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')
    socket.write(`*${words.length}\r\n${bulk}`)
  }
  await once(socket, 'close')
  return Buffer.concat(chunks).toString()
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
