/**
 * A real OpenBao for tests, on loopback: in memory, or on a raft store that outlives the process, so that
 * it can be killed and started again. Made with one unseal key, and unsealed.
 */
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import type { CertificatePair } from '../../server/identity/tailscale/pair.ts'
import { requirePeer } from './peers.ts'
import { TestProcess } from './process.ts'

/** How an OpenBao differs from one in memory that speaks plain HTTP. */
export interface OpenBaoOptions {
  /** Where it keeps its data. Default: memory, which a kill loses. */
  readonly storage?: 'memory' | 'raft'
  /** Serves HTTPS as `localhost` with this certificate. */
  readonly tls?: CertificatePair
  /** More of its configuration, in HCL. */
  readonly config?: string
  /** False: it is started and no more. */
  readonly initialised?: boolean
}

/** What the API answered. */
export interface BaoAnswer {
  readonly status: number
  /** The JSON of the body; an empty object where there was none. */
  readonly body: Json
}

// oxlint-disable-next-line typescript/no-explicit-any -- answers of others, which tests pick from
export type Json = any

/** How a call of the API is made. */
export interface CallOptions {
  /** Default: the root token. Empty: none. */
  readonly token?: string
  readonly namespace?: string
}

/** How a token differs from an orphan that renews for 32 days. */
export interface TokenOptions extends CallOptions {
  readonly policies: readonly string[]
  /** As OpenBao writes times: `30s`, `1h`. */
  readonly ttl?: string
  readonly period?: string
  readonly maxTtl?: string
  readonly renewable?: boolean
  readonly uses?: number
  /** Without the default policy, which lets a token look at itself. */
  readonly bare?: boolean
}

/** An OpenBao that is up. */
export interface OpenBao extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, or `https://localhost:PORT`; the same after a restart. */
  readonly url: string
  readonly rootToken: string
  /** Calls the API; every status is an answer. `path` follows `/v1/`. */
  call(method: string, path: string, body?: object, options?: CallOptions): Promise<BaoAnswer>
  /** Calls the API and resolves with the body. Rejects unless the status is 2xx. */
  must(method: string, path: string, body?: object, options?: CallOptions): Promise<Json>
  /** Writes a policy of that text, in HCL. */
  policy(name: string, text: string, options?: CallOptions): Promise<void>
  /** Mounts a secrets engine: `kv` with `{ version: '2' }`, `transit`, `database`. */
  mount(path: string, type: string, engine?: object, options?: CallOptions): Promise<void>
  /** Mounts a way to log in: `approle`, `kubernetes`, `jwt`, `userpass`. */
  enableAuth(path: string, type: string, options?: CallOptions): Promise<void>
  token(options: TokenOptions): Promise<string>
  /** Revokes a token, and what hangs on it. */
  revoke(token: string): Promise<void>
  seal(): Promise<void>
  unseal(): Promise<void>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it where it was, sealed. Only a raft store has kept anything. */
  start(): Promise<void>
  /** Lines of the file audit device: each request and answer, with hashed values. */
  audit(): Json[]
}

/** Starts an OpenBao, which takes about 0.3 s. */
export async function startOpenBao(options: OpenBaoOptions = {}): Promise<OpenBao> {
  const { tls, initialised = true } = options
  const scratch = mkdtempSync(join(tmpdir(), 'sotto-openbao-'))
  const [port, clusterPort] = await freePorts()
  const url = tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`
  writeFileSync(join(scratch, 'bao.hcl'), configuration(scratch, port, clusterPort, options))
  const agent = new Agent({ ...(tls && { connect: { ca: tls.certificate } }) })
  let bao: TestProcess | undefined
  let rootToken = ''
  let unsealKey = ''

  async function call(
    method: string,
    path: string,
    body?: object,
    { token = rootToken, namespace }: CallOptions = {},
  ): Promise<BaoAnswer> {
    const answer = await request(`${url}/v1/${path}`, {
      method: method as 'GET',
      dispatcher: agent,
      headers: {
        ...(token && { 'x-vault-token': token }),
        ...(namespace !== undefined && { 'x-vault-namespace': namespace }),
        ...(body && {
          'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
        }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await answer.body.text()
    return { status: answer.statusCode, body: text === '' ? {} : JSON.parse(text) }
  }

  async function must(...args: Parameters<typeof call>): Promise<Json> {
    const { status, body } = await call(...args)
    if (status >= 200 && status < 300) return body
    throw new Error(`${args[0]} ${args[1]} was answered with ${status} ${JSON.stringify(body)}`)
  }

  async function start(): Promise<void> {
    bao = new TestProcess(requirePeer('bao'), ['server', '-config', join(scratch, 'bao.hcl')], {
      environment: { PATH: process.env['PATH'], HOME: scratch },
    })
    await bao.line(/server started!/)
  }

  const kill = async (): Promise<void> => bao?.kill()

  /** Until it serves: a raft store elects its leader first. */
  async function unseal(): Promise<void> {
    await must('POST', 'sys/unseal', { key: unsealKey })
    const deadline = Date.now() + 30_000
    while ((await call('GET', 'sys/health')).status !== 200) {
      if (Date.now() > deadline) throw new Error('OpenBao is not active after 30 s')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async function dispose(): Promise<void> {
    await kill()
    await agent.destroy()
    rmSync(scratch, { recursive: true, force: true })
  }

  try {
    await start()
    if (initialised) {
      const made = await must('POST', 'sys/init', { secret_shares: 1, secret_threshold: 1 })
      rootToken = made.root_token
      unsealKey = made.keys_base64[0]
      await unseal()
    }
  } catch (error) {
    await dispose()
    throw error
  }

  return {
    url,
    get rootToken() {
      return rootToken
    },
    call,
    must,
    async policy(name, text, as) {
      await must('PUT', `sys/policies/acl/${name}`, { policy: text }, as)
    },
    async mount(path, type, engine = {}, as) {
      await must('POST', `sys/mounts/${path}`, { type, options: engine }, as)
      // A fresh KV engine says that it upgrades itself, for a moment.
      const upgrading = async (): Promise<boolean> =>
        (await call('GET', `${path}/metadata/none`, undefined, as)).status === 400
      if (type === 'kv') while (await upgrading()) await new Promise(setImmediate)
    },
    async enableAuth(path, type, as) {
      await must('POST', `sys/auth/${path}`, { type }, as)
    },
    async token({ policies, ttl, period, maxTtl, renewable, uses, bare, ...as }) {
      const made = await must(
        'POST',
        'auth/token/create-orphan',
        {
          policies,
          no_default_policy: bare ?? false,
          ...(ttl !== undefined && { ttl }),
          ...(period !== undefined && { period }),
          ...(maxTtl !== undefined && { explicit_max_ttl: maxTtl }),
          ...(renewable !== undefined && { renewable }),
          ...(uses !== undefined && { num_uses: uses }),
        },
        as,
      )
      return made.auth.client_token
    },
    async revoke(token) {
      await must('POST', 'auth/token/revoke', { token })
    },
    async seal() {
      await must('POST', 'sys/seal', {})
    },
    unseal,
    kill,
    start,
    audit() {
      return readFileSync(join(scratch, 'audit.log'), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    },
    [Symbol.asyncDispose]: dispose,
  }
}

function configuration(
  scratch: string,
  port: number,
  clusterPort: number,
  { storage = 'memory', tls, config = '' }: OpenBaoOptions,
): string {
  const data = join(scratch, 'data')
  mkdirSync(data)
  if (tls) {
    writeFileSync(join(scratch, 'tls.crt'), tls.certificate)
    writeFileSync(join(scratch, 'tls.key'), tls.key, { mode: 0o600 })
  }
  return `
    ${storage === 'raft' ? `storage "raft" {\n path = "${data}"\n node_id = "one"\n performance_multiplier = 1\n }` : 'storage "inmem" {}'}
    listener "tcp" {
      address = "127.0.0.1:${port}"
      cluster_address = "127.0.0.1:${clusterPort}"
      ${tls ? `tls_cert_file = "${scratch}/tls.crt" tls_key_file = "${scratch}/tls.key"` : 'tls_disable = true'}
    }
    api_addr = "${tls ? 'https' : 'http'}://127.0.0.1:${port}"
    cluster_addr = "https://127.0.0.1:${clusterPort}"
    audit "file" "file" {
      options { file_path = "${scratch}/audit.log" }
    }
    ${config}
  `
}

/** Two ports that nobody has: OpenBao does not tell which one it was given for port 0. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()]
  const ports: number[] = []
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    ports.push(typeof address === 'object' && address !== null ? address.port : 0)
  }
  await Promise.all(
    servers.map((server) => {
      server.close()
      return once(server, 'close')
    }),
  )
  const [first = 0, second = 0] = ports
  return [first, second]
}
