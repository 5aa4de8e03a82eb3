/** Reads YAML and JSON whose keys are names and whose values are texts; keys within keys are joined by `/`. */
import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair } from 'yaml'
import { SottoError } from '../../client/api/errors.ts'
import { parseYaml, type Yaml } from '../../server/platform/yaml.ts'
import { type Item, itemOf, withoutTwins } from './item.ts'

/** So deep may keys be within keys: aliases can make a circle. */
const MAX_DEPTH = 32
/** So many nodes may there be: aliases of aliases make very many. */
const MAX_NODES = 100_000

/** The items of `text`. `problem` begins each error, as `Cannot import "FILE"` does. Throws `usage`. */
export function readYaml(text: string, problem: string): Item[] {
  const yaml = parseYaml(text, problem)
  const [document, ...more] = yaml.documents
  if (document === undefined) throw yaml.fault(undefined, 'it is empty')
  if (more.length > 0) throw yaml.fault(more[0]?.range[0], 'it has a second document')
  if (!isMap(document.contents))
    throw yaml.fault(undefined, 'it is not a mapping of names to values')
  return withoutTwins(new Walk(document, yaml).items())
}

/** As `readYaml`, of JSON alone. */
export function readJson(text: string, problem: string): Item[] {
  try {
    JSON.parse(text)
  } catch (error) {
    // The words of the error repeat the text.
    const [, position] = /at position (\d+)/.exec(String(error)) ?? []
    const before = position === undefined ? undefined : text.slice(0, Number(position))
    const where = before === undefined ? '' : `line ${before.split('\n').length}: `
    throw new SottoError('usage', `${problem}: ${where}it is not JSON`)
  }
  // Unlike JSON.parse, it sees a key that is there twice, and what digits a number has.
  return readYaml(text, problem)
}

class Walk {
  readonly #document: Document
  readonly #yaml: Yaml
  #count = 0
  /** What aliases stand for: to find it out takes a walk through all of the document. */
  readonly #targets = new Map<unknown, unknown>()

  constructor(document: Document, yaml: Yaml) {
    this.#document = document
    this.#yaml = yaml
  }

  items(): Item[] {
    return [...this.#of(this.#document.contents, [])]
  }

  *#of(node: unknown, path: readonly string[]): Generator<Item> {
    const at = (node as Node | null)?.range?.[0]
    if (path.length > MAX_DEPTH || ++this.#count > MAX_NODES) {
      throw this.#yaml.fault(at, 'its aliases, or keys within keys, repeat too much')
    }
    if (isAlias(node)) yield* this.#of(this.#resolved(node), path)
    else if (isMap(node)) {
      for (const { key, value } of this.#pairs(node.items, 0))
        yield* this.#of(value, [...path, key])
    } else yield this.#leaf(node, path.join('/'), at)
  }

  #leaf(node: unknown, name: string, at: number | undefined): Item {
    const line = at === undefined ? {} : { line: this.#yaml.lineOf(at) }
    if (isSeq(node)) return { name, ...line, refusal: 'it is a list' }
    if (!isScalar(node) || node.value === null) return { name, ...line, refusal: 'it has no value' }
    const text = typeof node.value === 'string' ? node.value : (node.source ?? '')
    return itemOf(name, text, line.line)
  }

  /** The keys and values of a mapping, those that it merges first: its own replace them. */
  #pairs(items: readonly Pair[], depth: number): { key: string; value: unknown }[] {
    const found = new Map<string, unknown>()
    if (depth > MAX_DEPTH) throw this.#yaml.fault(undefined, 'its aliases repeat too much')
    for (const { key, value } of items) {
      if (!isMerge(key)) continue
      for (const each of isSeq(value) ? value.items.toReversed() : [value]) {
        const merged = isAlias(each) ? this.#resolved(each) : each
        if (!isMap(merged))
          throw this.#yaml.fault((each as Node | null)?.range?.[0], 'a merge key needs a map')
        for (const pair of this.#pairs(merged.items, depth + 1)) found.set(pair.key, pair.value)
      }
    }
    for (const { key, value } of items) {
      if (isMerge(key)) continue
      if (!isScalar(key) || key.value === null) {
        throw this.#yaml.fault((key as Node | null)?.range?.[0], 'a key is not a text')
      }
      found.set(typeof key.value === 'string' ? key.value : (key.source ?? ''), value)
    }
    return [...found].map(([key, value]) => ({ key, value }))
  }

  #resolved(alias: unknown): unknown {
    if (!isAlias(alias)) return alias
    const found = this.#targets.get(alias) ?? alias.resolve(this.#document)
    this.#targets.set(alias, found)
    if (found) return found
    throw this.#yaml.fault(alias.range?.[0], 'an alias has no anchor before it')
  }
}

function isMerge(key: unknown): boolean {
  return isScalar(key) && key.value === '<<' && key.type === 'PLAIN'
}
