/** Backends, in a file. */
import { z } from 'zod'
import { backendSpec, type BackendSpec } from '../../client/api/backends.ts'
import { readSpecs } from './spec-file.ts'

const shape = backendSpec.shape

const file = z.strictObject({
  kind: z.literal('secretbackend'),
  name: shape.Name,
  type: shape.Type,
  description: shape.Description,
  isDefault: shape.Default,
  config: shape.Config,
})

/** The backends of `text`, the content of the file `path`. Throws `usage` with the place of what is wrong. */
export function readBackends(text: string, path: string): BackendSpec[] {
  return readSpecs(text, path, file).map(({ name, type, description, isDefault, config }) => {
    const Config = config && { Config: config }
    return { Name: name, Type: type, Description: description, Default: isDefault, ...Config }
  })
}
