/** Whose a token of Kubernetes is: its signature, issuer, audience and time, and nothing that the cluster is asked. */
import { verify } from 'node:crypto'
import { z } from 'zod'
import type { KeySet } from './key-set.ts'

/** What a token must be for. A token that is good for the cluster itself is not for others to see. */
const AUDIENCE = 'sotto'

/** Whom to believe. */
export interface Believed {
  readonly issuer: string
  readonly keys: KeySet
}

/** Characters that a token may have. */
const MAX_CHARACTERS = 16 * 1024

const header = z.object({
  alg: z.enum(['RS256', 'ES256']),
  kid: z.string(),
  // What an extension means nobody here knows.
  crit: z.undefined().optional(),
})

const claims = z.object({
  iss: z.string(),
  sub: z.string().regex(/^system:serviceaccount:[a-z\d-]+:[a-z\d.-]+$/),
  aud: z.union([z.string(), z.array(z.string()).length(1)]),
  exp: z.number(),
  nbf: z.number().optional(),
})

/**
 * The service account, `NAMESPACE/NAME`, that `token` is of at `now`; undefined where it is not to be believed. Rejects with
 * `internal` where the keys cannot be read.
 */
export async function accountIn(
  token: string,
  { issuer, keys }: Believed,
  now: Date,
): Promise<string | undefined> {
  const parts = token.split('.')
  const isToken = parts.length === 3 && parts.every((part) => /^[\w-]+$/.test(part))
  if (!isToken || token.length > MAX_CHARACTERS) return undefined
  const [head = '', payload = '', signature = ''] = parts
  const { data: signed } = header.safeParse(jsonOf(head))
  const found = signed && (await keys.find(signed.kid))
  if (!found || found.algorithm !== signed.alg) return undefined
  const key = { key: found.key, dsaEncoding: 'ieee-p1363' } as const
  const bytes = Buffer.from(`${head}.${payload}`)
  if (!verify('sha256', bytes, key, Buffer.from(signature, 'base64url'))) return undefined
  const { data: said } = claims.safeParse(jsonOf(payload))
  const seconds = now.getTime() / 1000
  const isNow = said && said.exp > seconds && (said.nbf ?? 0) <= seconds
  if (!isNow || said.iss !== issuer || [said.aud].flat()[0] !== AUDIENCE) return undefined
  return said.sub.slice('system:serviceaccount:'.length).replace(':', '/')
}

function jsonOf(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString())
  } catch {
    return undefined
  }
}
