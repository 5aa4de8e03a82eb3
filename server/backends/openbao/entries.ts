/** What stands in entries of a KV engine that are Sotto's own: leaves, and the claim of a place. */
import { z } from 'zod'
import { bytesOf } from '../../../client/api/base64.ts'
import type { Claim, Leaf, Owner } from '../contract.ts'
import type { Entry } from './kv.ts'

/** A leaf as OpenBao keeps it. */
export interface LeafData {
  /** Base64. */
  readonly value: string
  /** Whose it is: the store, the incarnation, the backend and the branch. Earlier releases wrote the first two. */
  readonly gen: string
}

/** What is in the place of a leaf. */
export type FoundLeaf =
  | {
      readonly value: Buffer
      /** The branch that wrote it; undefined where it does not say whether this backend did. */
      readonly writtenBy: string | undefined
      readonly problem?: undefined
    }
  | { readonly problem: string; readonly value?: undefined; readonly writtenBy?: undefined }

const noLeaf: FoundLeaf = { problem: 'what is there is not a leaf' }

const claim = z.object({
  store: z.string(),
  backend: z.int(),
  branch: z.string(),
  start: z.int(),
  record: z.string(),
})

/** The value in `entry`, or what is wrong with it; undefined where there is no entry. The caller zeroes it. */
export function leafIn(
  entry: Entry | undefined,
  { incarnation }: Leaf,
  owner: Owner,
): FoundLeaf | undefined {
  if (entry === undefined) return undefined
  if (entry.data === undefined) return { problem: 'someone deleted it there' }
  const { value, gen } = entry.data as Partial<LeafData>
  if (typeof value !== 'string' || typeof gen !== 'string') return noLeaf
  const bytes = bytesOf(value)
  if (!bytes) return noLeaf
  const [store, of, backend, branch, ...more] = gen.split('.')
  const isOfSecret = store === owner.store && of === String(incarnation) && more.length === 0
  if (isOfSecret && backend === undefined) return { value: bytes, writtenBy: undefined }
  if (isOfSecret && backend === String(owner.backend)) return { value: bytes, writtenBy: branch }
  bytes.fill(0)
  const whose = isOfSecret ? 'backend of this store' : 'store, or of an earlier secret of that name'
  return { problem: `what is there is of another ${whose}` }
}

/** The claim in `data`; undefined for anything else. */
export function claimIn(data: unknown): Claim | undefined {
  return claim.safeParse(data).data
}
