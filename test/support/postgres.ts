/** A real PostgreSQL for tests, on loopback, which can be killed and started again. */
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { CertificatePair } from '../../server/identity/tailscale/pair.ts'
import { requirePeer } from './peers.ts'
import { run, TestProcess } from './process.ts'
import { OTHER } from './users.ts'

/** How a server is set up. */
export interface PostgresOptions {
  /** Offers TLS as `localhost` with this certificate. */
  readonly tls?: CertificatePair
  /** Lines of pg_hba.conf that go before the others. */
  readonly hba?: string
}

/** A PostgreSQL that is up. */
export interface Postgres extends AsyncDisposable {
  readonly port: number
  /** As rotations name it. */
  readonly server: string
  /** Runs statements as the superuser, and resolves with the rows of the last. */
  query(statements: string): Promise<Readonly<Record<string, unknown>>[]>
  /** Everything that it logged, of every start: each statement, each connection. */
  log(): string
  /** Has it end at once, with all its sessions, as in a crash. */
  kill(): Promise<void>
  /** Starts it where it was. */
  start(): Promise<void>
}

const PASSWORD = 'the superuser'

/** Starts one, which takes about a second. Root runs it as another user, since it refuses to be root's. */
export async function startPostgres({ tls, hba = '' }: PostgresOptions = {}): Promise<Postgres> {
  const scratch = mkdtempSync(join(tmpdir(), 'sotto-postgres-'))
  const asOther = process.getuid?.() === 0 ? { uid: OTHER } : {}
  const own = (path: string): string => {
    if (asOther.uid !== undefined) chownSync(path, OTHER, OTHER)
    return path
  }
  const written = (name: string, content: string): string => {
    const path = join(scratch, name)
    writeFileSync(path, content, { mode: 0o600 })
    return own(path)
  }
  chmodSync(own(scratch), 0o700)
  const data = own(mkdirSync(join(scratch, 'data'), { recursive: true }) ?? '')
  const pwfile = written('superuser', PASSWORD)
  const environment = { PATH: process.env['PATH'], HOME: scratch, LC_ALL: 'C' }
  const init = ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${pwfile}`]
  const made = await run(
    requirePeer('initdb'),
    [...init, '--no-sync', '-E', 'UTF8', '--locale=C', '--no-instructions'],
    { environment, ...asOther },
  )
  if (made.code !== 0) throw new Error(`initdb ended with ${made.code}: ${made.stderr}`)
  const port = await freePort()
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: scratch,
    fsync: 'off',
    log_statement: 'all',
    log_connections: 'on',
    ...(hba !== '' && { hba_file: written('hba', `${hba}\nhost all all all scram-sha-256\n`) }),
    ...(tls && {
      ssl: 'on',
      ssl_cert_file: written('cert', tls.certificate),
      ssl_key_file: written('key', tls.key),
    }),
  }
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const processes: TestProcess[] = []
  const start = async (): Promise<void> => {
    const server = new TestProcess(requirePeer('postgres'), ['-D', data, ...args], {
      environment,
      ...asOther,
    })
    processes.push(server)
    await server.line(/database system is ready to accept connections/)
  }
  /** Quickly, as one that crashes would: each of its processes ends by itself when the first is gone. */
  const kill = async (): Promise<void> => processes.at(-1)?.kill()
  await start()
  return {
    port,
    server: `postgres://127.0.0.1:${port}`,
    query: async (statements) => {
      const client = new pg.Client({ ...superuser, port })
      client.on('error', () => {})
      await client.connect()
      try {
        const found: unknown = await client.query(statements)
        const last = Array.isArray(found) ? found.at(-1) : found
        return (last as pg.QueryResult<Record<string, unknown>>).rows
      } finally {
        await client.end()
      }
    },
    log: () => processes.map(({ output }) => output).join(''),
    kill,
    start,
    [Symbol.asyncDispose]: async () => {
      await kill()
      rmSync(scratch, { recursive: true, force: true, maxRetries: 20 })
    },
  }
}

const superuser = {
  host: '127.0.0.1',
  user: 'postgres',
  password: PASSWORD,
  database: 'postgres',
  ssl: false,
  options: '-c log_statement=none',
}

/** Logs in as a program does, and out again. Rejects where it is refused. */
export async function logIn(port: number, user: string, password: string): Promise<string> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user,
    password,
    database: 'app',
    ssl: false,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query<{ role: string }>('SELECT current_user::text AS role')
    return rows[0]?.role ?? ''
  } finally {
    await client.end()
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
