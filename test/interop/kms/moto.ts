/** moto in the place of AWS KMS, with the rules that it leaves out: real HTTP, keys in its memory. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  type KeyUsageType,
  KMSClient,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms'
import { requirePeer } from '../../support/peers.ts'

export const REGION = 'eu-central-1'

/** The secret half of the credentials that tests give: no message may show it. */
export const SECRET_ACCESS_KEY = 'a-secret-access-key-of-the-tests'

/** What the SDK finds in the environment of a test, and nothing of the machine's own. */
export const credentials: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: 'AKIDTESTS',
  AWS_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
}

/** A KMS that is up. */
export interface Moto extends AsyncDisposable {
  readonly url: string
  /** Makes a key in REGION, or in `region`, and resolves with its ARN. */
  createKey(options?: { usage?: KeyUsageType; region?: string }): Promise<string>
  createAlias(alias: string, arn: string): Promise<void>
  disable(arn: string): Promise<void>
  enable(arn: string): Promise<void>
  scheduleDeletion(arn: string): Promise<void>
}

/** Starts moto on a free port of loopback. */
export async function startMoto(): Promise<Moto> {
  const script = new URL('moto_kms.py', import.meta.url).pathname
  const child = spawn(requirePeer('kms-python'), ['-u', script, '-H', '127.0.0.1', '-p', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const url = await addressIn(child.stderr)

  const clientOf = (region: string): KMSClient =>
    new KMSClient({
      region,
      endpoint: url,
      credentials: { accessKeyId: 'AKIDTESTS', secretAccessKey: SECRET_ACCESS_KEY },
    })
  const client = clientOf(REGION)
  return {
    url,
    async createKey({ usage = 'ENCRYPT_DECRYPT', region = REGION } = {}) {
      const spec = usage === 'SIGN_VERIFY' ? ({ KeySpec: 'ECC_NIST_P256' } as const) : {}
      const command = new CreateKeyCommand({ KeyUsage: usage, ...spec })
      const { KeyMetadata } = await clientOf(region).send(command)
      return KeyMetadata?.Arn ?? ''
    },
    async createAlias(alias, arn) {
      await client.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: arn }))
    },
    async disable(arn) {
      await client.send(new DisableKeyCommand({ KeyId: idIn(arn) }))
    },
    async enable(arn) {
      await client.send(new EnableKeyCommand({ KeyId: idIn(arn) }))
    },
    async scheduleDeletion(arn) {
      await client.send(
        new ScheduleKeyDeletionCommand({ KeyId: idIn(arn), PendingWindowInDays: 7 }),
      )
    },
    async [Symbol.asyncDispose]() {
      client.destroy()
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

/** moto changes keys by their ids alone. */
function idIn(arn: string): string {
  return arn.slice(arn.indexOf('/') + 1)
}

/** Where moto says that it listens; whatever else it says is read and dropped. */
async function addressIn(stream: Readable): Promise<string> {
  let said = ''
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  stream.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < 10_000) said += text
    const url = /Running on (http:\S+)/.exec(said)?.[1]
    if (url !== undefined) resolve(url)
  })
  stream.on('end', () => reject(new Error(`moto ended: ${said}`)))
  return promise
}
