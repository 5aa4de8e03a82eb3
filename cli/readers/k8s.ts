/** Reads manifests of Kubernetes: each key of each Secret is an item, `SECRET/KEY`. */
import { z } from 'zod'
import { bytesOf } from '../../client/api/base64.ts'
import { dataOf, parseYaml, type Yaml } from '../../server/platform/yaml.ts'
import { type Item, itemOf, withoutTwins } from './item.ts'

const text = z.string()
const secret = z.object({
  kind: z.literal('Secret'),
  metadata: z.object({ name: text.min(1) }),
  data: z.record(text, text).nullish(),
  stringData: z.record(text, text).nullish(),
})
/** So deep may lists be within lists: aliases can make a circle. */
const MAX_DEPTH = 32
const list = z.object({ kind: z.enum(['List', 'SecretList']), items: z.array(z.unknown()) })

/**
 * The items of `manifests`, in YAML or JSON. Other kinds are passed over. `problem` begins each error. Throws `usage`,
 * also where there is no Secret.
 */
export function readK8s(manifests: string, problem: string): Item[] {
  const { documents, fault } = parseYaml(manifests, problem)
  const objects = documents.flatMap((each) => objectsIn(dataOf(each, fault), fault))
  const secrets = objects.filter((each) => (each as { kind?: unknown } | null)?.kind === 'Secret')
  if (secrets.length === 0) throw fault(undefined, 'there is no Secret in it')
  const items = secrets.flatMap((each) => {
    const parsed = secret.safeParse(each)
    // Of this key the schema would leave nothing.
    const { data, stringData } = each as Record<string, object | null | undefined>
    if ([data, stringData].some((part) => part && Object.hasOwn(part, '__proto__'))) {
      throw fault(undefined, 'a Secret has the key __proto__: import it by itself')
    }
    if (parsed.success) return itemsOf(parsed.data)
    const at = parsed.error.issues[0]?.path.slice(0, 2).map(String).join('.')
    throw fault(undefined, `a Secret is not one of Kubernetes: look at ${at}`)
  })
  return withoutTwins(items)
}

function objectsIn(data: unknown, fault: Yaml['fault'], depth = 0): unknown[] {
  const parsed = list.safeParse(data)
  if (!parsed.success) return [data]
  if (depth > MAX_DEPTH)
    throw fault(undefined, 'its aliases, or lists within lists, repeat too much')
  return parsed.data.items.flatMap((each) => objectsIn(each, fault, depth + 1))
}

function itemsOf({ metadata, data, stringData }: z.infer<typeof secret>): Item[] {
  const plain = stringData ?? {}
  const name = (key: string): string => `${metadata.name}/${key}`
  return [
    // Kubernetes lets stringData replace data.
    ...Object.entries(data ?? {})
      .filter(([key]) => !Object.hasOwn(plain, key))
      .map(([key, encoded]): Item => {
        const value = bytesOf(encoded.replaceAll(/\s/g, ''))
        return { name: name(key), ...(value ? { value } : { refusal: 'it is not base64' }) }
      }),
    ...Object.entries(plain).map(([key, each]) => itemOf(name(key), each)),
  ]
}
