/** Tells names of secrets from other names, and values from what stands in their place. */
import type { Language } from './text.ts'

/** Words that say that a value is secret. */
const secretWords: ReadonlySet<string> = new Set([
  'password',
  'passwd',
  'passphrase',
  'pwd',
  'secret',
  'token',
  'apikey',
])
/** A word that makes a key a secret one. */
const keyWords: ReadonlySet<string> = new Set([
  'api',
  'access',
  'private',
  'secret',
  'signing',
  'encryption',
])

/** What a name ends with that says something about a secret, or where it is. */
const aboutSecret = new Set(
  `name names file files path paths ref reference id ids url uri endpoint host port type kind ttl timeout expiry
  expires expiration expired age length len size count limit max min header field mount engine version algorithm alg
  policy enabled disabled required optional prefix suffix regex pattern label title text placeholder message msg error
  hint help description issuer audience aud scope scopes lifetime interval period rotation validity days hours minutes
  seconds store class provider backend dir directory folder manager service method mode format encoding source arn hash
  hashed rounds strength rules reset confirmation confirm input visible link page route template schema status
  verified generator validator validators cookie key keys
  param parameter query arg argument var variable env flag option options property attribute action event types
  last used updated created changed at permission permissions parameters resource properties`.split(
    /\s+/,
  ),
)
/** What a name begins with that does the same. */
const beforeSecret = new Set(
  `existing has is no use require requires show hide forgot reset change update create delete set verify validate
  generate min max allow enable disable automount pull public next page continuation limit
  input output csrf xsrf`.split(/\s+/),
)

/** Whether what has that name is to be kept secret. */
export function isSecretName(name: string): boolean {
  const words = wordsOf(name)
  const last = words.findLastIndex(
    (word, at) =>
      secretWords.has(word) ||
      (at > 0 && word === 'key' && keyWords.has(words[at - 1] ?? '')) ||
      (at > 0 && word === 'pass' && at === words.length - 1),
  )
  if (last < 0 || beforeSecret.has(words[0] ?? '')) return false
  // It names a Secret.
  if (/^(?:kube|k8s|kubernetes)$/.test(words[last - 1] ?? '')) return false
  return !words.slice(last + 1).some((word) => aboutSecret.has(word))
}

/** Whether a value is there, and not what a reader puts one in for. */
export function isLiteral(value: string, name: string, language: Language): boolean {
  if (/^(?:|null|~|none|nil|undefined|true|false|yes|no|on|off|\d{1,3})$/i.test(value)) return false
  // What is filled in later: by a shell, a template, SOPS, Ansible, CloudFormation.
  if (/^[$*<!{[%]|\$\{|\$\(|\{\{|<%|#\{|^ENC\[|%\(/.test(value)) return false
  // Of a package.
  if (/^[~^]?\d+\.\d+\.\d+/.test(value)) return false
  // What says where it is.
  if (/^[a-z][\w+.-]*:\/\/|^arn:|^vault:|^\.{0,2}\/|^~\//i.test(value)) return false
  if (
    /^(?:x{3,}|[*.…_-]+)$|^(?:your|the|insert|replace|put|enter|fill)[-_ ]|^todo\b/i.test(value)
  ) {
    return false
  }
  // The name of the variable that has it.
  if (language === 'config' && /^[A-Z][A-Z0-9_]*$/.test(value) && isSecretName(value)) return false
  // Types, and what a workflow may do with a token.
  if (language === 'config')
    return !/^(?:string|str|int|integer|number|text|read|write)$/.test(value)
  if (language === 'shell') return !value.includes('$')
  return language === 'env' || isLiteralOfProgram(value, name)
}

/** In a program, much that is in quotes is a name, or words for people. */
function isLiteralOfProgram(value: string, name: string): boolean {
  const words = wordsOf(value)
  const isName = /^\w+$/.test(value) && isSecretName(value) && words.length > 1
  const isOwnName = words.join('') === wordsOf(name).slice(-words.length).join('')
  const isVariable = /^[A-Z][A-Z0-9]*_[A-Z0-9_]+$/.test(value)
  // Tokens are made by machines; parameters and parts of a grammar have that name, too.
  const isWord = /^[A-Za-z]+$/.test(value) && wordsOf(name).includes('token')
  const isHeader = /^(?:[A-Z][a-z]+-)+[A-Z][a-z]+$|^x-|^(?:Bearer|Basic|Authorization)$/.test(value)
  return (
    value.length > 3 &&
    !/[\s{}]|^\^|\$$/.test(value) &&
    !isWord &&
    !isName &&
    !isOwnName &&
    !isVariable &&
    !isHeader
  )
}

/** `DB_PASSWORD`, `dbPassword` and `db-password` have the same words. */
function wordsOf(name: string): string[] {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .split(/[^A-Za-z0-9]+/)
    .flatMap((word) => word.toLowerCase().split(' '))
    .filter((word) => word !== '')
}
