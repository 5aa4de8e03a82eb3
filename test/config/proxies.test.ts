/** Proxies and endpoints from the environment, as other programs read them. */
import { describe, expect, test } from 'vitest'
import { asSottoError } from '../../client/api/errors.ts'
import type { Environment } from '../../client/api/given.ts'
import { readServerConfig, type TailnetConfig } from '../../server/config/config.ts'
import { proxyNotes } from '../../server/config/proxy-notes.ts'

const kms = ['--kms-key', 'arn:aws:kms:eu-central-1:123456789012:key/a']
const s3 = ['--backup-to', 's3://backups']
const transit = ['--transit-key', 'sotto', '--transit-token-file', '/t', '--transit-url']

function read(args: readonly string[], env: Environment): TailnetConfig {
  const config = readServerConfig(['--state-dir', '/s', ...args], env)
  if (config.dev) throw new Error('a development server')
  return config
}

function refusal(args: readonly string[], env: Environment): string {
  try {
    read(args, env)
    return 'none'
  } catch (error) {
    const { code, message, hint } = asSottoError(error)
    return `${code}: ${message}. ${hint}`
  }
}

const placeOf = (args: readonly string[], env: Environment) => read(args, env).backups?.place

describe('U14: proxies', () => {
  const env = { HTTPS_PROXY: 'http://user:pass@proxy:3128', NO_PROXY: '.internal,10.0.0.0/8' }
  const proxies = { https: 'http://user:pass@proxy:3128/', except: '.internal,10.0.0.0/8' }

  test('are for KMS, S3 and OpenBao', () => {
    const origins = ['--backend-origin', 'https://bao.example']
    const args = [...kms, ...s3, ...transit, 'https://bao.example', ...origins]
    expect(read(args, env)).toMatchObject({
      awsKms: { proxies },
      transit: { proxies },
      backups: { place: { proxies } },
      backendProxies: proxies,
    })
    expect(JSON.stringify(read(args, {}))).not.toContain('proxies')
    expect(JSON.stringify(read(args, { NO_PROXY: 'x' }))).not.toContain('proxies')
  })

  test('are not asked for where nothing of the kind is called', () => {
    const odd = { HTTPS_PROXY: 'socks5://user:pass@proxy:1080' }
    expect(JSON.stringify(read(['--backup-to', '/mnt'], odd))).not.toContain('proxy')
    expect(JSON.stringify(read([], env))).not.toContain('proxy')
  })

  test('are read in small letters first, and without a scheme', () => {
    const small = { https_proxy: 'small:1', HTTPS_PROXY: 'http://large:2', http_proxy: '' }
    const both = { ...small, HTTP_PROXY: 'https://secure:3', no_proxy: 'a', NO_PROXY: 'b' }
    expect(read(kms, both).awsKms?.proxies).toEqual({
      https: 'http://small:1/',
      http: 'https://secure:3/',
      except: 'a',
    })
  })

  test.each(['socks5://user:pass@proxy:1080', 'http://', 'http://a b', 'http://user:%@proxy:1'])(
    '%s is refused without being shown',
    (HTTPS_PROXY) => {
      const found = refusal(kms, { HTTPS_PROXY })
      expect(found).toMatch(
        /^usage: Cannot use \$HTTPS_PROXY: it is not the address of an HTTP proxy\. It looks like/,
      )
      expect(found).not.toContain('pass')
    },
  )

  test('that are used are named at start, each once, without credentials', () => {
    const own = ['--backend-origin', 'https://bao.example,https://bao.internal']
    const args = [...kms, ...s3, ...transit, 'https://bao.example', ...own]
    expect(proxyNotes(read(args, env))).toEqual([
      'called through the proxy "http://proxy:3128": KMS, S3, OpenBao at "https://bao.example"',
    ])
    const two = { ...env, HTTP_PROXY: 'http://other:1', AWS_ENDPOINT_URL_S3: 'http://s3.example' }
    expect(proxyNotes(read([...kms, ...s3, '--backup-insecure'], two))).toEqual([
      'called through the proxy "http://proxy:3128": KMS',
      'called through the proxy "http://other:1": S3',
    ])
    expect(proxyNotes(read([...transit, 'https://bao.internal'], env))).toEqual([])
    expect(proxyNotes(read(args, {}))).toEqual([])
  })
})

describe('U12: the endpoint', () => {
  test('of variables is used as that of the flag, and its source is known', () => {
    const env = { AWS_ENDPOINT_URL: 'https://all.example' }
    expect(placeOf(s3, env)).toMatchObject({
      endpoint: 'https://all.example',
      endpointFrom: '$AWS_ENDPOINT_URL',
    })
    const own = { ...env, AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9000' }
    expect(placeOf(s3, own)).toMatchObject({
      endpoint: 'http://127.0.0.1:9000',
      endpointFrom: '$AWS_ENDPOINT_URL_S3',
    })
    expect(read(kms, own).awsKms).toMatchObject({
      endpoint: 'https://all.example',
      endpointFrom: '$AWS_ENDPOINT_URL',
    })
    expect(read(kms, { ...own, AWS_ENDPOINT_URL_KMS: 'https://kms.example' }).awsKms).toMatchObject(
      { endpoint: 'https://kms.example', endpointFrom: '$AWS_ENDPOINT_URL_KMS' },
    )
    const flag = [...s3, '--backup-endpoint', 'https://flag.example']
    expect(placeOf(flag, own)).toMatchObject({ endpoint: 'https://flag.example' })
    expect(placeOf(flag, own)).not.toHaveProperty('endpointFrom')
    const ignored = { ...own, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' }
    expect(placeOf(s3, ignored)).not.toHaveProperty('endpoint')
  })

  test('of variables is no setting of backups where none go to a bucket', () => {
    const env = { AWS_ENDPOINT_URL_S3: 'http://minio:9000', AWS_ENDPOINT_URL: 'nonsense' }
    expect(read([], env).backups).toBeUndefined()
    expect(placeOf(['--backup-to', '/mnt'], env)).toEqual({ kind: 'directory', path: '/mnt' })
  })

  test('of variables is refused as that of the flag, by its name', () => {
    const clear = { AWS_ENDPOINT_URL_S3: 'http://minio:9000' }
    expect(refusal(s3, clear)).toMatch(
      /^unsafe: Cannot use s3:\/\/backups at "minio" \(\$AWS_ENDPOINT_URL_S3\): backups would/,
    )
    expect(placeOf([...s3, '--backup-insecure'], clear)).toMatchObject({ clear: true })
    for (const AWS_ENDPOINT_URL_S3 of ['minio:9000', 'minio', 's3://minio']) {
      expect(refusal(s3, { AWS_ENDPOINT_URL_S3 })).toBe(
        'usage: Cannot use $AWS_ENDPOINT_URL_S3: it is not a URL. It begins with https://.',
      )
    }
    expect(refusal(kms, { AWS_ENDPOINT_URL: 'kms' })).toMatch(/^usage: .*\$AWS_ENDPOINT_URL:/)
  })
})
