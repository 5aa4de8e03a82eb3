/** moto in the place of AWS KMS, with the rules that it leaves out: real HTTP, keys in its memory. */
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  type KeyUsageType,
  KMSClient,
  ReplicateKeyCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms'
import { requirePeer } from '../../support/peers.ts'
import { TestProcess } from '../../support/process.ts'

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
  createKey(options?: {
    usage?: KeyUsageType
    region?: string
    multiRegion?: boolean
  }): Promise<string>
  /** Makes a replica in `region` of a key for several, and resolves with its ARN. */
  replicate(arn: string, region: string): Promise<string>
  createAlias(alias: string, arn: string): Promise<void>
  disable(arn: string): Promise<void>
  enable(arn: string): Promise<void>
  scheduleDeletion(arn: string): Promise<void>
}

/** Starts moto on a free port of loopback. */
export async function startMoto(): Promise<Moto> {
  const script = new URL('moto_kms.py', import.meta.url).pathname
  const args = ['-u', script, '-H', '127.0.0.1', '-p', '0']
  const moto = new TestProcess(requirePeer('kms-python'), args)
  const [, url = ''] = await moto.line(/Running on (http:\S+)/)

  const clientOf = (region: string): KMSClient =>
    new KMSClient({
      region,
      endpoint: url,
      credentials: { accessKeyId: 'AKIDTESTS', secretAccessKey: SECRET_ACCESS_KEY },
    })
  const client = clientOf(REGION)
  return {
    url,
    async createKey({ usage = 'ENCRYPT_DECRYPT', region = REGION, multiRegion = false } = {}) {
      const spec = usage === 'SIGN_VERIFY' ? ({ KeySpec: 'ECC_NIST_P256' } as const) : {}
      const command = new CreateKeyCommand({ KeyUsage: usage, MultiRegion: multiRegion, ...spec })
      const { KeyMetadata } = await clientOf(region).send(command)
      return KeyMetadata?.Arn ?? ''
    },
    async replicate(arn, region) {
      const command = new ReplicateKeyCommand({ KeyId: idIn(arn), ReplicaRegion: region })
      const { ReplicaKeyMetadata } = await client.send(command)
      return ReplicaKeyMetadata?.Arn ?? ''
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
      await moto.kill()
    },
  }
}

/** moto changes keys by their ids alone. */
function idIn(arn: string): string {
  return arn.slice(arn.indexOf('/') + 1)
}
