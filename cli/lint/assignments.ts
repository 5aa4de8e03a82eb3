/** Finds where a text gives a name a value. */
import type { Text } from './text.ts'

/** A name that gets a value. */
export interface Assignment {
  /** Counted from 1. */
  readonly line: number
  readonly name: string
  /** As it is written, without its quotes. */
  readonly value: string
  /** Of a Secret of Kubernetes, whose values are secret whatever their names. */
  readonly isOfSecret?: true
}

const KEY = String.raw`["']?([A-Za-z_][\w.-]*)["']?`

/** Of a line of YAML, of properties, of TOML, of a unit, of a Dockerfile. */
const pair = new RegExp(
  String.raw`^\s*(?:-\s+)?(?:(?:ENV|ARG|export)\s+|Environment=["']?)?${KEY}\s*(:(?=\s|$)|=)\s*(.*)$`,
)
/** Of a list of variables: `- NAME=VALUE`, in quotes or not. */
const listed = /^\s*-\s+(["']?)([A-Za-z_]\w*)=(.*?)\1\s*$/
/** Within braces, on one line. */
const flow = new RegExp(
  String.raw`(?<!\$)[{,]\s*${KEY}\s*:\s*("(?:\\.|[^"\\])*"|'[^']*'|[^,{}[\]]+)`,
  'g',
)
const variable = /^\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*=\s*(.*)$/
const ofShell =
  /^\s*(?:(?:export|local|readonly|declare|typeset)\s+(?:-\w+\s+)*)?([A-Za-z_]\w*)=(.*)$/
/** In a program, which has its texts in quotes; with a type between, perhaps. */
const quoted =
  /(?<![\w.$/@-])["']?([A-Za-z_$][\w$.-]*)["']?\]?\s*(?::\s*[\w.<>[\]| ?]{1,40}?)?\s*(?:=>|:=|:|(?<![=!<>+])=(?![=>~]))\s*[bru]?(["'`])((?:\\.|(?!\2)[^\\])*)\2(?!\s*[+%])/g
const defined = /\bdefine\(\s*(["'])(\w+)\1\s*,\s*(["'])(.*?)\3/g

/** Without one of these, no name in a line is that of a secret. */
const hint = /pass|pwd|secret|token|key/i

/** The kinds of YAML whose keys name keys, and not values. */
const naming = /^(?:Cluster)?ExternalSecret$|^PushSecret$|^SecretDefinition$|^SecretProviderClass$/

/** The assignments of a text, in order. Comments have none. */
export function* assignmentsIn(text: Text): Generator<Assignment> {
  const kinds = kindsOf(text)
  let block: string | undefined
  for (const [at, each] of text.code.entries()) {
    const kind = kinds[at] ?? ''
    // Its values are encrypted.
    if (each === '' || kind === 'SealedSecret') continue
    const line = at + 1
    block = /^(\w+):\s*$/.exec(each)?.[1] ?? (/^\S/.test(each) ? undefined : block)
    for (const { name, value } of onLine(text, at)) {
      const isOfSecret = kind === 'Secret' && /^(?:stringData|data)$/.test(block ?? '')
      if (naming.test(kind) && /^(?:secretKey|key|property)$/.test(name)) continue
      yield { line, name, value, ...(isOfSecret && { isOfSecret }) }
    }
  }
}

/** The kind of the manifest that each line is of; empty where it says none. */
export function kindsOf({ lines }: Text): string[] {
  const kinds: string[] = []
  let start = 0
  const close = (end: number): void => {
    const own = lines.slice(start, end).find((line) => line.startsWith('kind:')) ?? ''
    kinds.push(...lines.slice(start, end).map(() => own.replace(/^kind:\s*/, '').trim()))
    start = end
  }
  for (const [at, line] of lines.entries()) if (/^---\s*$/.test(line)) close(at)
  close(lines.length)
  return kinds
}

type Pair = Pick<Assignment, 'name' | 'value'>

function onLine(text: Text, at: number): Pair[] {
  const line = text.lines[at] ?? ''
  switch (text.language) {
    case 'env':
      return matched(variable.exec(line))
    case 'shell':
      return matched(ofShell.exec(line)).map(({ name, value }) => ({
        name,
        value: /^(["']).*?\1|^\S*/.exec(value)?.[0] ?? '',
      }))
    case 'source':
    case 'json':
      if (!hint.test(line)) return []
      return [
        ...Array.from(line.matchAll(quoted), ([, name = '', , value = '']) => ({ name, value })),
        ...Array.from(line.matchAll(defined), ([, , name = '', , value = '']) => ({ name, value })),
      ]
    case 'config':
    default:
      return ofConfig(text, at)
  }
}

function ofConfig({ path, lines }: Text, at: number): Pair[] {
  const line = lines[at] ?? ''
  const inList = listed.exec(line)
  if (inList) return [{ name: inList[2] ?? '', value: bare(inList[3] ?? '') }]
  const [, key = '', sign, rest = ''] = pair.exec(line) ?? []
  const inFlow = Array.from(line.matchAll(flow), ([, name = '', value = '']) => ({
    name,
    value: bare(value),
  }))
  const named = inFlow.find(({ name }) => name === 'name')
  if (named) {
    const given = inFlow.find(({ name }) => name === 'value')
    return given ? [{ name: named.value, value: given.value }] : inFlow
  }
  if (sign === undefined || inFlow.length > 0) return inFlow
  // There, what has no quotes is an expression.
  if (/\.(?:tf|hcl|toml|tfvars)$/.test(path) && !/^["']/.test(rest)) return []
  if (sign === ':' && key === 'value') {
    const [, before] = /^\s*-\s+name:\s*["']?([\w.-]+)/.exec(lines[at - 1] ?? '') ?? []
    if (before !== undefined) return [{ name: before, value: bare(rest) }]
  }
  const isBlock = sign === ':' && /^[|>][-+\d]*\s*(?:#.*)?$/.test(rest)
  return [{ name: key, value: isBlock ? (lines[at + 1] ?? '').trim() : bare(rest) }]
}

function matched(match: RegExpExecArray | null): Pair[] {
  return match ? [{ name: match[1] ?? '', value: bare(match[2] ?? '') }] : []
}

/** A value without what is around it: quotes, a comment, the anchor and type of YAML. */
function bare(rest: string): string {
  const text = rest.replace(/^(?:&\S+\s+|!!str\s+)+/, '').trim()
  const inQuotes = /^(["'])((?:\\.|(?!\1)[^\\])*)\1/.exec(text)
  if (inQuotes) return inQuotes[2] ?? ''
  return text.replace(/(?:^|\s+)#.*$/, '').replace(/["';,]+$/, '')
}
