/** Backends, in a file: YAML, each document one backend, without unknown fields. */
import { LineCounter, parseAllDocuments, type Document } from 'yaml'
import { z } from 'zod'
import { backendSpec, type BackendSpec } from '../../client/api/backends.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import { nearest } from '../nearest.ts'

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
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false })
  const fault = (offset: number | undefined, message: string, hint?: string): SottoError => {
    const place = offset === undefined ? '' : `line ${lines.linePos(offset).line}: `
    return new SottoError('usage', `Cannot apply ${quote(path)}: ${place}${message}`, {
      ...(hint !== undefined && { hint }),
    })
  }
  if (!Array.isArray(documents) || documents.length === 0) throw fault(undefined, 'it is empty')
  return documents.map((document) => {
    const [error] = [...document.errors, ...document.warnings]
    // The parser's own words may repeat the text.
    if (error) throw fault(error.pos[0], `it is not YAML (${error.code})`)
    const parsed = file.safeParse(document.toJS())
    if (parsed.success) {
      const { name, type, description, isDefault, config } = parsed.data
      const Config = config && { Config: config }
      return { Name: name, Type: type, Description: description, Default: isDefault, ...Config }
    }
    const [issue] = parsed.error.issues
    const at = issue?.path ?? []
    if (issue?.code === 'unrecognized_keys') {
      const key = issue.keys[0] ?? ''
      const meant = nearest(key, fieldsAt(file, at))
      const hint = meant === undefined ? undefined : `Did you mean ${meant}?`
      throw fault(offsetOf(document, [...at, key]), `there is no field ${quote(key)}`, hint)
    }
    const where = at.length === 0 ? '' : `${at.map(String).join('.')}: `
    const advice: unknown = issue?.code === 'custom' ? issue.params?.['hint'] : undefined
    const hint = typeof advice === 'string' ? advice : undefined
    throw fault(offsetOf(document, at), `${where}${issue?.message ?? ''}`, hint)
  })
}

/** Where what `path` leads to begins, or the nearest thing around it. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length >= 0; length--) {
    const found: unknown = document.getIn(path.slice(0, length), true)
    const { range } = (found ?? {}) as { range?: readonly number[] }
    if (range) return range[0]
  }
  return undefined
}

/** The fields that `schema` has where `path` leads. */
function fieldsAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return fieldsAt(schema.unwrap(), path)
  }
  if (schema instanceof z.ZodPipe) return fieldsAt(schema.out, path)
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((each) => fieldsAt(each, path))
  if (!(schema instanceof z.ZodObject)) return []
  const [step, ...rest] = path
  return step === undefined ? Object.keys(schema.shape) : fieldsAt(schema.shape[String(step)], rest)
}
