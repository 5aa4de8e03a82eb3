/** The settings of the server: what goes together, what stands in for what, what is refused. */
import { describe, expect, test } from 'vitest'
import type { SottoError } from '../../client/api/errors.ts'
import {
  readDoctorConfig,
  readServerConfig,
  type TailnetConfig,
} from '../../server/config/config.ts'
import { setecNotes } from '../../server/config/settings/given.ts'

const state = ['--state-dir', '/s']
const transit = [...state, '--transit-key', 'k', '--transit-url', 'https://bao']

function tailnet(args: readonly string[], env: Record<string, string> = {}): TailnetConfig {
  const config = readServerConfig([...state, ...args], env)
  if (config.dev) throw new Error('a development server')
  return config
}

function refusal(args: readonly string[], env: Record<string, string> = {}): string {
  try {
    readServerConfig(args, env)
    return 'taken'
  } catch (error) {
    const { code, message, hint } = error as SottoError
    return `${code}: ${message}. ${hint ?? ''}`
  }
}

describe('where callers come in', () => {
  test.each([
    [[], { host: undefined, port: 443, tls: 'tailnet' }],
    [['--plain-http'], { host: undefined, port: 80, tls: 'none' }],
    [['--listen', ':8443'], { host: undefined, port: 8443, tls: 'tailnet' }],
    [['--listen=[fd7a:115c:a1e0::1]:1'], { host: 'fd7a:115c:a1e0::1', port: 1, tls: 'tailnet' }],
    [
      ['-tls-cert', 'c', '-tls-key', 'k'],
      { host: undefined, port: 443, tls: { certificate: 'c', key: 'k' } },
    ],
  ])('%s', (args, expected) => {
    expect(tailnet(args).door).toEqual({ kind: 'addresses', ...expected })
  })

  test('is a unix socket alone behind serve', () => {
    expect(tailnet(['--serve-socket', '/run/x']).door).toEqual({ kind: 'socket', path: '/run/x' })
  })

  test('with --dev is loopback, at a port alone too', () => {
    const listens = [[], ['--listen', ':4180'], ['--listen', '127.0.0.2:1']].map(
      (args) => readServerConfig(['--dev', ...args], {}) as { listen?: object },
    )
    expect(listens.map(({ listen }) => listen)).toEqual([
      { host: '127.0.0.1', port: 0 },
      { host: '127.0.0.1', port: 4180 },
      { host: '127.0.0.2', port: 1 },
    ])
  })
})

test('where backends may be is an origin each, and nothing more', () => {
  const of = (given: string): unknown =>
    readServerConfig(['--dev', '--backend-origin', given], {}).backendOrigins
  expect(readServerConfig(['--dev'], {}).backendOrigins).toBeUndefined()
  expect(of('https://BAO.example.com:443, http://127.0.0.1:8200')).toEqual([
    'https://bao.example.com',
    'http://127.0.0.1:8200',
  ])
  for (const wrong of [
    '',
    'bao',
    'https://a/v1',
    'https://a,',
    'https://u@a',
    'ftp://a',
    'https://a?b',
  ]) {
    expect(() => of(wrong), wrong).toThrow(/--backend-origin/)
  }
})

test('where rotations may change logins is an origin each, and nothing more', () => {
  const of = (given: string): unknown =>
    readServerConfig(['--dev', '--rotation-target', given], {}).rotationTargets
  expect(readServerConfig(['--dev'], {}).rotationTargets).toBeUndefined()
  expect(of('postgres://DB.example.com:5432, valkey://[::1]:1')).toEqual([
    'postgres://db.example.com:5432',
    'valkey://[::1]:1',
  ])
  for (const wrong of [
    '',
    'db:5432',
    'postgres://db',
    'postgres://db:0',
    'postgres://db:1/app',
    'postgres://u@db:1',
    'postgres://db:1?a',
    'postgres://db:1,',
    'https://db:1',
  ]) {
    expect(() => of(wrong), wrong).toThrow(/--rotation-target/)
  }
})

test('A2: what the identity of the server may be used for is a role each, and nothing by default', () => {
  const of = (given: string): unknown =>
    readServerConfig(['--dev', '--backend-jwt-role', given], {}).backendJwtRoles
  expect(readServerConfig(['--dev'], {}).backendJwtRoles).toBeUndefined()
  expect(of('https://a/v1/auth/jwt/role/one, http://127.0.0.1:1/v1/ns/auth/k8s/role/two')).toEqual([
    { origin: 'https://a', namespace: '', mount: 'jwt', role: 'one' },
    { origin: 'http://127.0.0.1:1', namespace: 'ns', mount: 'k8s', role: 'two' },
  ])
  for (const wrong of ['', 'sotto', 'https://a', 'https://a/v1/auth/jwt/role/a,']) {
    expect(() => of(wrong), wrong).toThrow(/--backend-jwt-role/)
  }
})

test('the environment stands in for flags, switches too, and flags go before it', () => {
  const env = {
    SETEC_STATE_DIR: '/from-setec',
    TS_SOCKET: '/sidecar.sock',
    SOTTO_CAPABILITY: 'example.com/cap/secrets',
    SOTTO_STALE_AFTER: '10m',
    SOTTO_USERSPACE: 'true',
    SOTTO_PLAIN_HTTP: '0',
    SOTTO_SERVICE_ADDRESS: '100.100.0.1,fd7a:115c:a1e0::9',
  }
  const config = readServerConfig(['--capability', 'other.example/cap'], env)
  expect(config).toMatchObject({
    stateDir: '/from-setec',
    tailscaled: {
      socket: '/sidecar.sock',
      capabilities: ['other.example/cap'],
      services: ['100.100.0.1', 'fd7a:115c:a1e0::9'],
      staleAfterMs: 600_000,
      userspace: true,
    },
    door: { tls: 'tailnet' },
  })
})

test('setec’s name for the key of KMS is taken, as a flag and in the environment', () => {
  const arn = 'arn:aws:kms:eu-central-1:1:key/k'
  const given = [
    tailnet(['--kms-key-name', arn]),
    tailnet([`-kms-key-name=${arn}`]),
    tailnet([], { SETEC_KMS_KEY_NAME: arn }),
    tailnet(['--kms-key', arn, '--kms-key-name', 'other'], { SETEC_KMS_KEY_NAME: 'another' }),
    tailnet([], { SOTTO_KMS_KEY: arn, SETEC_KMS_KEY_NAME: 'other' }),
  ]
  expect(given.map(({ awsKms }) => awsKms)).toEqual(given.map(() => ({ key: arn })))
})

test('a key of Transit is read with its way to log in, from flags and the environment', () => {
  const env = { SOTTO_TRANSIT_KEY: 'sotto', SOTTO_TRANSIT_URL: 'https://bao:8200' }
  const key = { key: 'sotto', url: 'https://bao:8200', mount: 'transit' }
  const token = { method: 'token', token: { file: 't' } }
  expect(tailnet(['--transit-token-file', 't'], env).transit).toEqual({ ...key, login: token })
  const whole = [
    '--transit-mount=m',
    '--transit-namespace=n',
    '--transit-ca-file=c',
    '--transit-insecure',
    '--transit-token-file=t',
  ]
  expect(tailnet(whole, env).transit).toEqual({
    ...key,
    mount: 'm',
    namespace: 'n',
    caFile: 'c',
    insecure: true,
    login: token,
  })
  const login = (method: string, ...flags: string[]) =>
    tailnet(['--transit-auth', method, ...flags], env).transit?.login
  expect(login('approle', '--transit-role-id', 'r', '--transit-secret-id-file', 's')).toEqual({
    method: 'approle',
    roleId: 'r',
    secretId: { file: 's' },
  })
  expect(login('kubernetes', '--transit-role', 'r', '--transit-auth-mount', 'k8s')).toEqual({
    method: 'kubernetes',
    mount: 'k8s',
    role: 'r',
    jwtFile: '/var/run/secrets/kubernetes.io/serviceaccount/token',
  })
  expect(login('jwt', '--transit-role', 'r', '--transit-jwt-file', 'j')).toEqual({
    method: 'jwt',
    role: 'r',
    jwtFile: 'j',
  })
  expect(login('userpass', '--transit-username', 'u', '--transit-password-file', 'p')).toEqual({
    method: 'userpass',
    username: 'u',
    password: { file: 'p' },
  })
})

test('variables of setec’s server that nothing reads are reported, with what replaces them', () => {
  const env = { SETEC_HOSTNAME: 'secrets', SETEC_LOGIN_SERVER: '', SETEC_STATE_DIR: '/s' }
  expect(setecNotes(env)).toEqual([
    'SETEC_HOSTNAME is set, and is not used here. The name is the one of the node: set it with `tailscale set --hostname`.',
  ])
})

test('without settings, setec’s capability is read under both of its names', () => {
  expect(tailnet([]).tailscaled).toMatchObject({
    capabilities: ['tailscale.com/cap/secrets', 'https://tailscale.com/cap/secrets'],
    services: [],
    staleAfterMs: undefined,
    userspace: false,
  })
})

describe('refused with what to do', () => {
  test.each([
    [[], /usage: sotto server needs --state-dir\. .*sotto init/],
    [
      [...state, '--listen', '0.0.0.0:443'],
      /^unsafe: Cannot use "0\.0\.0\.0" as --listen: it means every address/,
    ],
    [
      [...state, '--listen', '[::]:443'],
      /^unsafe: Cannot use "::" as --listen: it means every address/,
    ],
    [
      [...state, '--listen', '443'],
      /Cannot use "443" as --listen: it is not an address such as :443/,
    ],
    [[...state, '--listen', ':65536'], /is not an address/],
    [[...state, '--tls-cert', 'c'], /--tls-cert and --tls-key go together/],
    [[...state, '--tls-cert', 'c', '--tls-key', 'k', '--plain-http'], /--plain-http does not go/],
    [
      [...state, '--serve-socket', 'x', '--listen', ':1'],
      /--listen does not go with --serve-socket/,
    ],
    [
      [...state, '--serve-socket', 'x', '--plain-http'],
      /--plain-http does not go with --serve-socket/,
    ],
    [
      [...state, '--serve-socket', 'x', '--userspace'],
      /--userspace does not go with --serve-socket/,
    ],
    [[...state, '--stale-after', '10'], /Cannot use "10" as --stale-after/],
    [[...state, '--stale-after', '0s'], /Cannot use "0s" as --stale-after/],
    [[...state, '--tailnet', 'x'], /--tailnet goes with --dev alone/],
    [['--dev', '--plain-http'], /--plain-http does not go with --dev/],
    [['--dev', '--tls-cert', 'c'], /--tls-cert does not go with --dev/],
    [
      [...state, '--hostname', 'x'],
      /There is no such flag: --hostname\. .*tailscale set --hostname/,
    ],
    [[...state, '--login-server', 'x'], /There is no such flag: --login-server\. .*tailscale up/],
    [[...state, '--kms-key', 'k', '--kms-endpoint', 'x'], /Cannot use "x" as --kms-endpoint/],
    [[...state, '--transit-key', 'k'], /--transit-key needs --transit-url/],
    [[...transit], /--transit-auth token needs --transit-token-file/],
    [[...transit, '--transit-auth', 'approle'], /approle needs --transit-role-id/],
    [[...transit, '--transit-auth', 'jwt'], /--transit-auth jwt needs --transit-role\./],
    [[...transit, '--transit-auth', 'x'], /Cannot log in by "x": .*It is token, approle/],
    [[...state, '--nope'], /There is no such flag: --nope\. See `sotto help server`/],
    // V10
    [[...state, '--listne', ':1'], /There is no such flag: --listne\. Did you mean --listen\?/],
    [
      [...state, '--listen'],
      /The flag --listen needs a value: \[HOST\]:PORT\. See `sotto help server`/,
    ],
  ])('%s', (args, reason) => {
    expect(refusal(args)).toMatch(reason)
  })

  test('a switch in the environment that is neither true nor false', () => {
    expect(refusal(state, { SOTTO_USERSPACE: 'maybe' })).toMatch(/Cannot read \$SOTTO_USERSPACE/)
  })
})

test('doctor reads the settings of the server, and its own', () => {
  const config = readDoctorConfig(['--peer', '100.64.0.2', '-o', 'json', '--listen', ':8443'], {})
  expect(config).toMatchObject({
    peer: '100.64.0.2',
    json: true,
    stateDir: undefined,
    door: { port: 8443 },
  })
  expect(() => readDoctorConfig(['--dev'], {})).toThrow('--dev')
})
