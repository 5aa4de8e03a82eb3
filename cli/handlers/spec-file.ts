/** What a server is to have, in a file: YAML, each document one thing, without unknown fields. */
import type { Document } from 'yaml'
import { z } from 'zod'
import type { Client } from '../../client/client.ts'
import { quote, SottoError } from '../../client/api/errors.ts'
import { nearest } from '../../client/api/nearest.ts'
import { decodeText, readTextFileNow } from '../../client/platform/text-file.ts'
import { dataOf, parseYaml } from '../../server/platform/yaml.ts'
import type { Invocation } from '../invocation.ts'

/** How things of one noun are applied. */
interface Applying<S, R> {
  /** The command without `apply`. */
  readonly noun: string
  /** What their `kind` is in a file. */
  readonly kind: string
  readonly read: (text: string, path: string) => readonly S[]
  readonly send: (client: Client, spec: S) => Promise<R>
  /** What is printed of each, without the end of the line. */
  readonly line: (result: R) => string
}

/** `sotto NOUN apply -f FILE`: makes each thing of the file as it is described there. */
export async function applyFile<S, R>(
  invocation: Invocation,
  { noun, kind, read, send, line }: Applying<S, R>,
): Promise<void> {
  const path = invocation.text('file')
  if (path === undefined) {
    throw new SottoError('usage', `${noun} apply needs -f`, {
      hint: `Give a file with \`kind: ${kind}\`, or - for stdin: see \`sotto help ${noun} apply\`.`,
    })
  }
  const specs = read(await readSpecText(invocation, path), path)
  const client = invocation.client()
  const results: R[] = []
  for (const spec of specs) {
    const result = await send(client, spec)
    results.push(result)
    if (!invocation.json) await invocation.io.stdout.write(`${line(result)}\n`)
  }
  if (invocation.json) await invocation.print(results, () => '')
}

/**
 * The documents of `text`, the content of the file `path`, each as `schema` reads it. Throws `usage` with the place of
 * what is wrong.
 */
export function readSpecs<S extends z.ZodObject>(
  text: string,
  path: string,
  schema: S,
): z.output<S>[] {
  const { documents, fault } = parseYaml(text, `Cannot apply ${quote(path)}`)
  if (documents.length === 0) throw fault(undefined, 'it is empty')
  return documents.map((document) => {
    const parsed = schema.safeParse(dataOf(document, fault))
    if (parsed.success) return parsed.data
    const [issue] = parsed.error.issues
    const at = issue?.path ?? []
    if (issue?.code === 'unrecognized_keys') {
      const key = issue.keys[0] ?? ''
      const meant = nearest(key, fieldsAt(schema, at))
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
  if (schema instanceof z.ZodPrefault) return fieldsAt(schema.unwrap(), path)
  if (schema instanceof z.ZodPipe) return fieldsAt(schema.out, path)
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((each) => fieldsAt(each, path))
  if (!(schema instanceof z.ZodObject)) return []
  const [step, ...rest] = path
  return step === undefined ? Object.keys(schema.shape) : fieldsAt(schema.shape[String(step)], rest)
}

/** The text of the file `path`, or of stdin for `-`. */
async function readSpecText(invocation: Invocation, path: string): Promise<string> {
  if (path !== '-') return readTextFileNow(path, 'file')
  const parts: Uint8Array[] = []
  for await (const chunk of invocation.io.stdin.chunks()) parts.push(chunk)
  return decodeText(Buffer.concat(parts), 'stdin')
}
