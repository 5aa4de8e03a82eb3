/** The shape of the test vectors of docs/internals/backup-format.md. */
import { z } from 'zod'

const base64 = z.base64()

/** Why a file is refused. */
export const reasons = [
  'magic',
  'format',
  'head',
  'size',
  'file-key',
  'root',
  'chunk',
  'manifest',
  'part',
] as const

export type Reason = (typeof reasons)[number]

export const vectorSchema = z.strictObject({
  about: z.string(),
  /** The whole backup. */
  file: base64,
  expect: z.enum(['ok', ...reasons]),
  manifest: z.record(z.string(), z.unknown()).optional(),
  /** Names and contents. */
  parts: z.array(z.tuple([z.string(), base64])).optional(),
  /** Hex. */
  rootKey: z.string().regex(/^[0-9a-f]{64}$/),
})

export type Vector = z.infer<typeof vectorSchema>
