/** The rules of `sotto lint`: what each finds, why that is wrong, and what to do instead. */
import { assignmentsIn } from './assignments.ts'
import { isLiteral, isSecretName } from './literals.ts'
import {
  environmentOfFile,
  environmentOfSecret,
  followsProfile,
  insteadOf,
  isMeant,
  type Policy,
} from './policy.ts'
import { fieldsIn, referencesIn } from './references.ts'
import { isComment, isExample, isTest, taggedAt, type Text } from './text.ts'

/** What a rule found, without any value. */
export interface Hit {
  /** Counted from 1. */
  readonly line: number
  /** The name of what is wrong: of a variable, a secret, a field, a file. */
  readonly name: string
  /** What to use in its place, where the rule cannot say it for all. */
  readonly instead?: string
}

/** One rule. */
export interface Rule {
  readonly id: string
  /** What it finds, as a part of a sentence. */
  readonly finds: string
  readonly why: string
  readonly instead: string
  readonly check: (text: Text, policy: Policy) => Iterable<Hit>
}

/** All of them. */
export const rules: readonly Rule[] = [
  {
    id: 'literal',
    finds: 'the value of a secret',
    why: 'Whoever can read the file has it, and so has every copy of its history.',
    instead:
      'Name the secret: sotto run, sotto export, or a file that only refers to it. Then rotate it.',
    check: literals,
  },
  {
    id: 'fallback',
    finds: 'a fallback for a value that may be required',
    why: 'Where the value is missing, the program starts all the same, with one that everybody knows.',
    instead: 'Write ${NAME:?why}; of what is safe, say so: # safe-default: why.',
    check: fallbacks,
  },
  {
    id: 'env-file',
    finds: 'a .env file where it is deployed or committed',
    why: 'It has values, and goes along with the images and clones.',
    instead:
      'Keep a .env.example, and put .env into .gitignore; deploy with sotto run or a mirror.',
    check: envFiles,
  },
  {
    id: 'kv-call',
    finds: 'a program that reads a KV engine itself',
    why: 'It needs a token of its own, and a second way by which values come to programs.',
    instead:
      'Take the value from a variable or a file; where it must be read in the program, say why under direct: in .sotto-lint.yaml.',
    check: kvCalls,
  },
  {
    id: 'naming',
    finds: 'a secret whose name follows no profile',
    why: 'Rules of access are patterns of names: one that is spelled otherwise is not where they look.',
    instead: 'Name it by a profile of .sotto-lint.yaml, in small letters joined by -.',
    check: names,
  },
  {
    id: 'sensitive-name',
    finds: 'something secret or personal in the name of a secret',
    why: 'Names are in lists, logs and metrics, which more people see than values.',
    instead: 'Name what it is for.',
    check: sensitiveNames,
  },
  {
    id: 'field-name',
    finds: 'a field with a name that others spell otherwise',
    why: 'Programs that read fields by their name do not find it.',
    instead: 'Use the standard name.',
    check: fieldNames,
  },
  {
    id: 'environment',
    finds: 'a secret of another environment',
    why: 'Who may change the one then reaches the other.',
    instead: 'Name the secret of the same environment.',
    check: environments,
  },
  {
    id: 'deprecated-path',
    finds: 'a secret at a path that is given up',
    why: 'It will be gone.',
    instead: 'Move to the new path.',
    check: deprecatedPaths,
  },
  {
    id: 'suppression',
    finds: 'a comment that allows something and does not say why',
    why: 'Nobody can tell later whether it still holds. It counts for nothing.',
    instead: 'Write # sotto-lint allow RULE: why.',
    check: suppressions,
  },
]

const allowance = /\bsotto-lint allow ([a-z-]+(?:, *[a-z-]+)*)(: *\S)?/
const safeDefault = /(?:#|\/\/|\/\*|<!--)\s*safe-default:/

/** Whether a comment, with a reason, allows what a rule found. */
export function isAllowed(text: Text, { line }: Hit, rule: string): boolean {
  const [, allowed = '', why] = taggedAt(text, line, allowance) ?? []
  return why !== undefined && allowed.split(/, */).includes(rule)
}

function* literals(text: Text): Generator<Hit> {
  const { path, language } = text
  const isProgram = language === 'source' || language === 'json'
  if ((language === 'env' && isExample(path)) || (isProgram && isTest(path))) return
  for (const { line, name, value, isOfSecret } of assignmentsIn(text)) {
    const isSecret = isOfSecret ?? isSecretName(name)
    if (isSecret && isLiteral(value, name, language)) yield { line, name }
  }
  for (const [line, each] of linesIn(text)) {
    // Of an address, and of what ODBC and its like call a connection string.
    const [, password] =
      /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"'`$<>{}]*:([^\s/@"'`$<>{}]+)@/.exec(each) ??
      /;\s*(?:password|pwd)\s*=\s*([^;"'${}<]+)/i.exec(each) ??
      []
    if (password !== undefined && isLiteral(password, '', 'config')) {
      yield { line, name: `the address in ${nameOn(each)}` }
    }
  }
}

function* fallbacks(text: Text, policy: Policy): Generator<Hit> {
  const isProgram = text.language === 'source' || text.language === 'json'
  if (isProgram && isTest(text.path)) return
  for (const [line, each] of linesIn(text)) {
    if (!/\$\{|default|\|\||\?\?|\(/.test(each)) continue
    const found = isProgram
      ? ofProgram(each)
      : [...ofShell(text, each, policy), ...ofTemplate(each)]
    if (found.length === 0 || taggedAt(text, line, safeDefault)) continue
    for (const name of new Set(found)) yield { line, name }
  }
}

/** `${NAME:-x}`. In a shell script `${NAME:-}` asks whether there is one. */
function ofShell({ language, path }: Text, line: string, { fallbacks: which }: Policy): string[] {
  const isScript = language === 'shell' || /(?:^|\/)\.(?:github|gitlab-ci)/.test(path)
  return Array.from(line.matchAll(/(\$?)\$\{(\w+):?[-=](.?)/g)).flatMap((match) => {
    const [, escaped, name = '', next = ''] = match
    // What it falls back on is required itself.
    if (next === '$' && /:?\?/.test(line.slice(match.index))) return []
    if (isScript || escaped === '$')
      return isSecretName(name) && !/^[}$]?$/.test(next) ? [name] : []
    return which === 'all' || isSecretName(name) ? [name] : []
  })
}

/** Of Helm, of Jinja, of a workflow, of Spring. */
function ofTemplate(line: string): string[] {
  const patterns = [
    /(?<![\w.])([\w.]+)\s*\|\s*default[\s(]+(?:["'])[^"']+["']/g,
    /\b(?:secrets|vars|env)\.(\w+)\s*\|\|\s*'[^']+'/g,
    /\$\{([\w.-]+):[^}?+=-][^}]*\}/g,
  ]
  return namesBy(patterns, line)
}

function ofProgram(line: string): string[] {
  const patterns = [
    /\benv(?:\.(\w+)|\[["'](\w+)["']\])\s*(?:\|\||\?\?)\s*["'`]/g,
    /(?<![\w.])(?![\w.]*set)[\w.]*(?:env|environ\.get|fetch|lookup|getOrDefault)[\w.]*\(\s*["'](\w+)["']\s*,\s*(?:default\s*=\s*)?["']/gi,
    /\$\{([\w.-]+):[^}?+=-][^}]*\}/g,
  ]
  return namesBy(patterns, line)
}

function namesBy(patterns: readonly RegExp[], line: string): string[] {
  return patterns
    .flatMap((pattern) => Array.from(line.matchAll(pattern), ([, a, b]) => a ?? b ?? ''))
    .filter((name) => isSecretName(name.split('.').at(-1) ?? ''))
}

function* envFiles({ path, isCommitted }: Text): Generator<Hit> {
  const name = path.split('/').at(-1) ?? ''
  if (!/^\.env(?:\.|$)/.test(name)) return
  const isDeployed = /(?:^|\/)(?:deploy|k8s|docker)\//.test(path) && !isExample(path)
  if (isDeployed || isCommitted === true) yield { line: 1, name: isExample(path) ? '.env' : name }
}

function* kvCalls(text: Text, { direct }: Policy): Generator<Hit> {
  if (text.language !== 'source' || isTest(text.path) || isMeant(direct, text.path)) return
  for (const [line, each] of linesIn(text)) {
    const [, call, method] =
      /\.(kv\.(?:v[12]\.)?\w+|KVv[12]|opsFor(?:Versioned)?KeyValue)\(/.exec(each) ??
      /\.((read|write|list|get|Read|Write|List|ReadWithContext)\w*)\(\s*["'`](?:secret|kv)[\w-]*\//.exec(
        each,
      ) ??
      /(\/v1\/(?:secret|kv)[\w-]*\/data)\//.exec(each) ??
      []
    if (call !== undefined) yield { line, name: method ?? call }
  }
}

function* names(text: Text, policy: Policy): Generator<Hit> {
  if (Object.keys(policy.profiles).length === 0) return
  for (const { line, path } of referencesIn(text)) {
    const isOther = insteadOf(policy, path) !== undefined || isSensitive(path) || path.includes('*')
    if (!isOther && !followsProfile(policy, path)) yield { line, name: path }
  }
}

function* sensitiveNames(text: Text): Generator<Hit> {
  for (const { line, path } of referencesIn(text)) {
    if (isSensitive(path)) yield { line, name: 'a part of a path' }
  }
}

/** An address of mail, or what looks like a value. */
function isSensitive(path: string): boolean {
  return path.split('/').some((part) => {
    const isRandom = /^[A-Za-z0-9]{20,}$/.test(part) && /\d/.test(part) && /[A-Za-z]/.test(part)
    return /@[\w-]+\./.test(part) || isRandom
  })
}

const standardFields: Readonly<Record<string, string>> = {
  user: 'username',
  usr: 'username',
  login: 'username',
  pass: 'password',
  passwd: 'password',
  pwd: 'password',
  hostname: 'host',
  uri: 'url',
  pubkey: 'public_key',
  username: 'username',
  clientid: 'client_id',
  clientsecret: 'client_secret',
  publickey: 'public_key',
  privatekey: 'private_key',
}

function* fieldNames(text: Text, { profiles }: Policy): Generator<Hit> {
  if (Object.keys(profiles).length === 0) return
  for (const { line, name } of fieldsIn(text)) {
    const instead = standardFields[name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')]
    if (instead !== undefined && instead !== name) yield { line, name, instead }
  }
}

function* environments(text: Text, policy: Policy): Generator<Hit> {
  const here = environmentOfFile(policy, text.path)
  if (here === undefined) return
  for (const { line, path } of referencesIn(text)) {
    const there = environmentOfSecret(policy, path)
    if (there === undefined || there === here) continue
    yield { line, name: path, instead: `one of ${here}` }
  }
}

function* deprecatedPaths(text: Text, policy: Policy): Generator<Hit> {
  for (const { line, path } of referencesIn(text)) {
    const instead = insteadOf(policy, path)
    if (instead !== undefined) yield { line, name: path, instead }
  }
}

function* suppressions(text: Text): Generator<Hit> {
  for (const [at, each] of text.lines.entries()) {
    const [found, , why] = allowance.exec(each) ?? []
    // It is told of where it would count.
    const line = isComment(each) ? at + 2 : at + 1
    if (found !== undefined && why === undefined) yield { line, name: 'sotto-lint allow' }
  }
}

function* linesIn({ code }: Text): Generator<[line: number, text: string]> {
  for (const [at, text] of code.entries()) if (text !== '') yield [at + 1, text]
}

/** The name that a line gives something. */
function nameOn(line: string): string {
  return /^\W*(?:export\s+)?([A-Za-z_][\w.-]*)\W{0,3}[:=]/.exec(line)?.[1] ?? 'the line'
}
