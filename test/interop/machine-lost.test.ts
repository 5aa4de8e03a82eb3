/** The page for the night in which the machine is lost: its lines are run as they are, on stand-ins for KMS and S3. */
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { actions } from '../../client/api/types.ts'
import { Client } from '../../client/client.ts'
import { readServerConfig, type TailnetConfig } from '../../server/config/config.ts'
import { type RunningServer, startServer } from '../../server/start/server.ts'
import { type StubLocalApi, withFields } from '../support/local-api.ts'
import { describeWith } from '../support/peers.ts'
import { run } from '../support/process.ts'
import { S3_REGION, type S3Server, startS3 } from '../support/s3.ts'
import { cli, runSotto, temporaryDirectory } from '../support/sotto.ts'
import { loopbackDoor, userspaceTailscaled } from '../support/tailnet-service.ts'
import { filesIn } from '../support/console.ts'
import { type Moto, startMoto } from './kms/moto.ts'

const page = readFileSync(new URL('../../docs/guides/machine-lost.md', import.meta.url), 'utf8')

describeWith(['kms-python', 'versitygw'], 'V2: the machine is lost', () => {
  const scratch = temporaryDirectory()
  let moto: Moto
  let s3: S3Server
  let localApi: StubLocalApi
  /** What a machine has: its files, and its configuration as the page writes it. */
  let config: string
  let environment: Record<string, string>

  beforeAll(async () => {
    ;[moto, s3, localApi] = await Promise.all([startMoto(), startS3(), userspaceTailscaled()])
    const rules = [{ action: [...actions], secret: ['*'] }]
    const whois = withFields('whois-user', { CapMap: { 'tailscale.com/cap/secrets': rules } })
    localApi.whois.get = () => whois
    const [arn, bucket] = await Promise.all([moto.createKey(), s3.bucket()])
    config = `${here(filesIn(page).get('config.yaml') ?? '')
      .replace(/arn:aws:kms:\S+/, arn)
      .replace(
        's3://my-backups',
        `s3://${bucket}`,
      )}kms-endpoint: ${moto.url}\nbackup-endpoint: ${s3.url}\n`
    writeFileSync(join(scratch.path, 'config.yaml'), config)
    const owner = Object.entries(s3.owner).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    )
    environment = {
      ...(Object.fromEntries(owner) as Record<string, string>),
      SOTTO_CONFIG: here('/etc/sotto/config.yaml'),
    }
    for (const [name, value] of Object.entries(environment)) process.env[name] = value
  })

  afterAll(async () => {
    for (const name of Object.keys(environment)) delete process.env[name]
    await Promise.all([moto, s3, localApi].map((each) => each[Symbol.asyncDispose]()))
    scratch[Symbol.dispose]()
  })

  /** `text` with the paths of this machine. */
  function here(text: string): string {
    return text.replaceAll(/\/(?:etc|var\/lib)\/sotto/g, (path) => `${scratch.path}${path}`)
  }

  /** A server as the configuration says, beside a tailscaled that lets everybody do everything. */
  async function serve(): Promise<RunningServer> {
    const read = readServerConfig([], environment) as TailnetConfig
    return startServer({
      ...read,
      tailscaled: { ...read.tailscaled, socket: localApi.path, userspace: true },
      door: loopbackDoor,
    })
  }

  /** The name of the node leads nowhere here. */
  const urlOf = ({ url }: RunningServer): string => `http://127.0.0.1:${new URL(url).port}`
  const clientOf = (server: RunningServer): Client => new Client({ server: urlOf(server) })

  test('comes back with the eight lines of the page', { timeout: 120_000 }, async () => {
    expect(config).toContain(`backup-bucket-region: ${S3_REGION}`)
    mkdirSync(here('/etc/sotto'), { recursive: true, mode: 0o755 })
    writeFileSync(here('/etc/sotto/config.yaml'), config)
    const made = await runSotto(['init'], { env: environment })
    const [, root = ''] = /^root ([0-9a-f]{32})$/m.exec(made.stdout) ?? []
    const first = await serve()
    await clientOf(first).put('prod/web/key', Buffer.from('correct horse'))
    expect(await clientOf(first).operate('backup-create', {})).toMatchObject({ LastResult: 'ok' })
    await first.stop()
    for (const path of ['/var/lib/sotto', '/etc/sotto']) rmSync(here(path), { recursive: true })

    const [, lines = ''] = /<!-- run: machine-lost -->\n```sh\n([^]*?)```/.exec(page) ?? []
    expect(lines.trim().split('\n')).toHaveLength(8)
    const bin = join(scratch.path, 'bin')
    mkdirSync(bin)
    // This machine has no such user, and no systemd; everything else is run.
    for (const [name, script] of [
      ['sotto', `exec ${process.execPath} ${cli} "$@"`],
      ['sudo', 'test "$1 $2" = "-u sotto" && shift 2 && exec "$@"'],
      ['useradd', 'test "$6" = sotto'],
      ['systemctl', 'test "$*" = "enable --now sotto"'],
      ['install', `PATH=$OLD_PATH exec install $(echo "$@" | sed 's/-o sotto -g sotto//')`],
    ]) {
      writeFileSync(join(bin, name ?? ''), `#!/bin/sh\n${script}\n`)
      chmodSync(join(bin, name ?? ''), 0o755)
    }
    const { stdout, stderr, code } = await run('bash', ['-euxs'], {
      cwd: scratch.path,
      environment: {
        ...process.env,
        ...environment,
        OLD_PATH: process.env['PATH'],
        PATH: `${bin}:${process.env['PATH']}`,
      },
      input: here(lines).replace(/^ROOT=.*$/m, `ROOT=${root}`),
    })
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/^sotto-\S+-r1\.backup .* whole$/m)
    expect(stdout).toMatch(/^Restored: +sotto-\S+-r1\.backup$/m)
    expect(stdout).toMatch(/^aws-kms +[0-9a-f]{16} proven$/m)

    const again = await serve()
    try {
      const client = clientOf(again)
      expect(Buffer.from((await client.get('prod/web/key')).Value).toString()).toBe('correct horse')
      const adopted = await runSotto(['branch', 'adopt', '--yes', '-s', urlOf(again)], {
        env: environment,
      })
      expect(adopted).toMatchObject({ code: 0 })
      const created = await runSotto(['backup', 'create', '-s', urlOf(again)], { env: environment })
      expect(created, created.stderr).toMatchObject({ code: 0 })
    } finally {
      await again.stop()
    }
  })

  test('another fingerprint restores nothing, and a prefix or a bucket is recognised', async () => {
    const where = /^backup-to: (.*)$/m.exec(config)?.[1] ?? ''
    const to = join(scratch.path, 'other')
    const other = await runSotto(
      ['restore', '--latest', '--to', to, '--expect-root', '00112233445566778899aabbccddeeff'],
      { env: environment },
    )
    expect(other.code).toBe(1)
    expect(other.stderr).toMatch(/^Skipped sotto-.*: Cannot use .* is expected$/m)
    const prefix = await runSotto(['restore', where, '--dry-run'], { env: environment })
    expect(prefix.code).toBe(3)
    expect(prefix.stderr).toContain(`it is a place with`)
    expect(prefix.stderr).toContain('`sotto restore --latest` takes a place.')
    const bucket = where.replace(/\/sotto$/, '')
    const listed = await runSotto(['backup', 'list', bucket], { env: environment })
    expect(listed.stderr).toBe(
      `There is no backup directly in "${bucket}"; folders there: sotto/\n`,
    )
    const whole = await runSotto(['restore', bucket, '--dry-run'], { env: environment })
    expect(whole.stderr).toContain('folders there: sotto/')
  })
})
