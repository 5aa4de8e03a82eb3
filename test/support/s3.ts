/** A real S3 server, versitygw, with its own users, versions and object locks, in a directory that goes with it. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  ListMultipartUploadsCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { requirePeer } from './peers.ts'
import { run, TestProcess } from './process.ts'

/** Who calls: the environment in which the SDK finds it, and nothing of the machine's own. */
export type S3User = Readonly<Record<string, string | undefined>>

/** The region of the server. */
export const S3_REGION = 'eu-central-1'

/** An S3 server that is up. */
export interface S3Server extends AsyncDisposable {
  readonly url: string
  /** May do everything. */
  readonly owner: S3User
  /** Is known, and may do nothing but what the policy of a bucket allows. */
  readonly other: S3User
  /** The secret halves of all credentials: no message may show them. */
  readonly secrets: readonly string[]
  /** A client of the owner. */
  readonly client: S3Client
  /** Where the server keeps the objects of buckets. */
  readonly data: string
  /** Makes a bucket, and resolves with its name. */
  bucket(options?: { versions?: boolean; locks?: boolean }): Promise<string>
  /** Lets `other` do `actions` in a bucket. */
  allow(bucket: string, actions: readonly string[]): Promise<void>
  /** The uploads in parts that are not complete. */
  unfinished(bucket: string): Promise<number>
  /** Makes the uploads in parts that are there now older, by the clock of the server. */
  age(bucket: string, ms: number): void
}

/** Starts versitygw on a free port of loopback. */
export async function startS3(): Promise<S3Server> {
  const program = requirePeer('versitygw')
  const home = mkdtempSync(join(tmpdir(), 'sotto-s3-'))
  const [data, versions, users] = ['data', 'versions', 'users'].map((name) => {
    const path = join(home, name)
    mkdirSync(path)
    return path
  }) as [string, string, string]
  const port = await freePort()
  const owner = credentials('owner')
  const other = credentials('other')
  const flags = `--port 127.0.0.1:${port} --region ${S3_REGION} --health /health --quiet`
  const args = `${flags} --iam-dir ${users} --iam-cache-disable posix --versioning-dir ${versions} ${data}`
  const server = new TestProcess(program, args.split(' '), {
    env: { ROOT_ACCESS_KEY: owner.id, ROOT_SECRET_KEY: owner.secret },
  })
  const url = `http://127.0.0.1:${port}`
  await answers(`${url}/health`, server)
  const admin = `admin --access ${owner.id} --secret ${owner.secret} --endpoint-url ${url}`
  const create = `create-user --access ${other.id} --secret ${other.secret} --role user`
  const made = await run(program, `${admin} --region ${S3_REGION} ${create}`.split(' '))
  if (made.code !== 0) throw new Error(`versitygw admin ended with ${made.code}: ${made.stderr}`)
  const client = new S3Client({
    region: S3_REGION,
    endpoint: url,
    forcePathStyle: true,
    credentials: { accessKeyId: owner.id, secretAccessKey: owner.secret },
  })
  return {
    url,
    owner: environment(owner),
    other: environment(other),
    secrets: [owner.secret, other.secret],
    client,
    data,
    async bucket({ versions: kept = false, locks = false } = {}) {
      const Bucket = `backups-${randomBytes(6).toString('hex')}`
      await client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: locks }))
      if (kept) {
        const VersioningConfiguration = { Status: 'Enabled' } as const
        await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
      }
      return Bucket
    },
    async allow(Bucket, actions) {
      const Policy = JSON.stringify({
        Statement: [
          {
            Effect: 'Allow',
            Principal: [other.id],
            Action: actions,
            Resource: [`arn:aws:s3:::${Bucket}`, `arn:aws:s3:::${Bucket}/*`],
          },
        ],
      })
      await client.send(new PutBucketPolicyCommand({ Bucket, Policy }))
    },
    async unfinished(Bucket) {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }))
      return Uploads.length
    },
    age(Bucket, ms) {
      const uploads = join(data, Bucket, '.sgwtmp')
      const then = new Date(Date.now() - ms)
      for (const name of readdirSync(uploads, { recursive: true, encoding: 'utf8' })) {
        utimesSync(join(uploads, name), then, then)
      }
    },
    async [Symbol.asyncDispose]() {
      client.destroy()
      await server.kill()
      rmSync(home, { recursive: true, force: true })
    },
  }
}

interface Credentials {
  readonly id: string
  readonly secret: string
}

function credentials(id: string): Credentials {
  return {
    id: `${id}-${randomBytes(4).toString('hex')}`,
    secret: `secret-${randomBytes(12).toString('hex')}`,
  }
}

/** What the SDK finds in the environment of a test. */
function environment({ id, secret }: Credentials): S3User {
  return {
    AWS_ACCESS_KEY_ID: id,
    AWS_SECRET_ACCESS_KEY: secret,
    AWS_SESSION_TOKEN: undefined,
    AWS_REGION: undefined,
    AWS_DEFAULT_REGION: undefined,
    AWS_PROFILE: undefined,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function answers(url: string, server: TestProcess): Promise<void> {
  for (;;) {
    if (!server.isRunning) throw new Error(`versitygw ended: ${server.output}`)
    const answer = await fetch(url).catch(() => undefined)
    if (answer?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
