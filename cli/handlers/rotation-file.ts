/** Rotations, in a file. */
import { z } from 'zod'
import { rotationSpec, type RotationSpec } from '../../client/api/rotations.ts'
import { readSpecs } from './spec-file.ts'

const shape = rotationSpec.shape

const file = z.strictObject({
  kind: z.literal('secretrotation'),
  name: shape.Name,
  config: shape.Config,
})

/** The rotations of `text`, the content of the file `path`. Throws `usage` with the place of what is wrong. */
export function readRotations(text: string, path: string): RotationSpec[] {
  return readSpecs(text, path, file).map(({ name, config }) => ({ Name: name, Config: config }))
}
