/** Finds the paths of secrets that a text names: of Sotto, and of KV engines of OpenBao and Vault. */
import { kindsOf } from './assignments.ts'
import type { Text } from './text.ts'

/** A secret, as it is named. */
export interface Reference {
  /** Counted from 1. */
  readonly line: number
  /** From the mount on, without what the API adds to it. In the place of what is filled in later is `{}`. */
  readonly path: string
}

/** A field of a secret, as it is named. */
export interface FieldName {
  readonly line: number
  readonly name: string
}

/** One part of a path: what it is, or what is put there later. */
const PART = String.raw`(?:[\w.@=%+*-]|\$\{\w+\}|\$\w+(?!\w)|\{\{[^}]*\}\}|\{\w+\})+`
const MOUNT = String.raw`(?:secret|kv)(?:-(?:\w+|\$\{?\w+\}?))?`

const ofKv = new RegExp(String.raw`(?<![\w./-])(?:\/?v1\/)?(${MOUNT}(?:\/${PART})+)`, 'g')
const ofSotto = new RegExp(String.raw`sotto:\/\/(${PART}(?:\/${PART})*)`, 'g')
const sottoCommand = new RegExp(
  String.raw`\bsotto\s+(?:get|put|edit|info|history|activate|rollback|rollout)\s+(?:-\S+\s+)*(${PART}(?:\/${PART})+)`,
)
/** A mount and, apart from it, a path in it: of clients, of manifests, of Terraform, of the command line. */
const mounted = new RegExp(
  String.raw`\b(?:mount|mount_point|mountPoint)\s*[:=]\s*["']?(${MOUNT})["'\s,]?`,
)
const inMount = new RegExp(String.raw`\b(?:path|name)\s*[:=]\s*["']?(${PART}(?:\/${PART})+)`)
const ofClient = new RegExp(
  String.raw`\(["'](${MOUNT})["']\)\s*\.\w+\((?:\w+,\s*)?["'](${PART}(?:\/${PART})+)["']`,
)
const ofCommand = new RegExp(
  String.raw`\bkv\s+\w+\s+(?:\w+\s+)?(?=.*-mount[= ](${MOUNT}))(?:-\S+\s+)*(${PART}(?:\/${PART})+)`,
)

/** Without one of these, a line names no secret. */
const hint = /secret|kv|sotto|mount/

/** How many lines a mount and its path may be apart. */
const APART = 2

/** The references of a text, in order. */
export function referencesIn(text: Text): Reference[] {
  const found: Reference[] = []
  for (const [at, each] of text.code.entries()) {
    if (!hint.test(each)) continue
    const line = at + 1
    const add = (path: string, mount?: string): void => {
      found.push({ line, path: plainPath(mount === undefined ? path : `${mount}/${path}`) })
    }
    for (const [, path = ''] of each.matchAll(ofKv)) add(path)
    for (const [, path = ''] of each.matchAll(ofSotto)) add(path.replace(/@\d+$/, ''))
    const command = sottoCommand.exec(each)?.[1]
    if (command !== undefined) add(command)
    const [, mount, path] = ofClient.exec(each) ?? ofCommand.exec(each) ?? []
    if (path !== undefined) add(path, mount)
    const alone = mounted.exec(each)?.[1]
    const near = alone === undefined ? undefined : nearest(text.lines, at)
    if (near !== undefined) add(near, alone)
  }
  return found
}

/** The names of fields in a text, in order. */
export function fieldsIn(text: Text): FieldName[] {
  const kinds = kindsOf(text)
  return text.code.flatMap((each, at) => {
    if (each === '') return []
    const kind = kinds[at] ?? ''
    const ofManifest = /ExternalSecret$|^PushSecret$/.test(kind)
      ? /\bproperty:\s*["']?([\w.-]+)/
      : kind === 'SecretDefinition'
        ? /^\s*key:\s*["']?([\w.-]+)/
        : undefined
    const patterns = [/sotto:\/\/[^\s"'#]+#([\w-]+)/, /\bkv\s.*-field[= ](\w[\w-]*)/, ofManifest]
    return patterns.flatMap((pattern) => {
      const name = pattern?.exec(each)?.[1]
      return name === undefined ? [] : [{ line: at + 1, name }]
    })
  })
}

function nearest(lines: readonly string[], at: number): string | undefined {
  for (let apart = 0; apart <= APART; apart++) {
    for (const place of [at - apart, at + apart]) {
      const path = inMount.exec(lines[place] ?? '')?.[1]
      if (path !== undefined) return path
    }
  }
  return undefined
}

/** KV version 2 has its own word after the mount. */
function plainPath(path: string): string {
  return path
    .replace(/^(\/?v1\/)/, '')
    .replace(/^([^/]+)\/(?:data|metadata)\//, '$1/')
    .replaceAll(/\$\{\w+\}|\$\w+|\{\{[^}]*\}\}|\{\w+\}/g, '{}')
    .replace(/[.,]+$/, '')
}
