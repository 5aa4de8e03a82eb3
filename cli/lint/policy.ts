/** What a team wants of its names: the file `.sotto-lint.yaml`. */
import { z } from 'zod'
import { quote } from '../../client/api/errors.ts'
import { readTextFile } from '../../client/platform/text-file.ts'
import { matches } from '../../server/access.ts'
import { dataOf, parseYaml } from '../../server/platform/yaml.ts'

/** The name of the file. */
export const POLICY_FILE = '.sotto-lint.yaml'

const word = z.string().regex(/^[a-z0-9-]+$/, 'expected a word in small letters')
const part = String.raw`(?:[\w.*-]|\{[a-z-]+\})+`
const shape = z
  .string()
  .regex(
    new RegExp(String.raw`^${part}(?:\/${part})*$`),
    'expected a path such as {environment}/{service}/{name}',
  )
const glob = z.string().min(1)
const reason = z.string().trim().min(1, 'expected the reason')

const file = z.strictObject({
  profiles: z.record(word, shape).default({}),
  environments: z.record(word, z.array(word).min(1)).default({
    dev: ['dev', 'development'],
    staging: ['staging', 'stage', 'stg'],
    prod: ['prod', 'production'],
  }),
  deprecated: z.record(glob, z.string().min(1)).default({}),
  fallbacks: z.enum(['all', 'secrets']).default('all'),
  direct: z.record(glob, reason).default({}),
  exclude: z.record(glob, reason).default({}),
})

/** What is wanted. */
export type Policy = z.infer<typeof file>

/** What is wanted where nobody says more. */
export const plainPolicy: Policy = file.parse({})

/** The policy in the file at `path`. Rejects with `local` where it cannot be read, `usage` for what is wrong in it. */
export async function readPolicy(path: string): Promise<Policy> {
  const text = await readTextFile(path, 'file of the lint')
  const { documents, fault } = parseYaml(text, `Cannot use ${quote(path)}`)
  const [document, more] = documents
  if (document === undefined) return plainPolicy
  if (more !== undefined) throw fault(more.range[0], 'it has a second document')
  const parsed = file.safeParse(dataOf(document, fault) ?? {})
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  if (issue?.code === 'unrecognized_keys') {
    const hint = `It may have: ${Object.keys(file.shape).join(', ')}.`
    throw fault(undefined, `there is no field ${quote(issue.keys[0] ?? '')}`, hint)
  }
  const where = issue?.path.map(String).join('.') ?? ''
  throw fault(undefined, `${where === '' ? '' : `${where}: `}${issue?.message ?? ''}`)
}

/** Whether one of the patterns of `table` means the file at `path`. `*` matches anything. */
export function isMeant(table: Readonly<Record<string, string>>, path: string): boolean {
  return Object.keys(table).some((each) => matches(each, path))
}

/** What is to be used in place of the secret at `path`; undefined where that is not deprecated. */
export function insteadOf({ deprecated }: Policy, path: string): string | undefined {
  return Object.entries(deprecated).find(([each]) => matches(each, path))?.[1]
}

/** Whether the path follows a profile. What is filled in later may be anything. */
export function followsProfile(policy: Policy, path: string): boolean {
  const parts = path.split('/')
  return Object.values(policy.profiles).some((profile) => {
    const wanted = profile.split('/')
    if (wanted.length !== parts.length) return false
    return wanted.every((each, at) => fits(policy, each, parts[at] ?? ''))
  })
}

/** The environment that a secret belongs to, by the first part of its path; undefined where none is said. */
export function environmentOfSecret(policy: Policy, path: string): string | undefined {
  return environmentIn(policy, path.split('/')[0] ?? '')
}

/** The environment that a file belongs to, by its path; undefined where that says none, or several. */
export function environmentOfFile(policy: Policy, path: string): string | undefined {
  return environmentIn(policy, path)
}

function environmentIn({ environments }: Policy, text: string): string | undefined {
  const words = new Set(text.toLowerCase().split(/[^a-z0-9]+/))
  const found = Object.entries(environments).filter(([, spellings]) =>
    spellings.some((each) => words.has(each)),
  )
  return found.length === 1 ? found[0]?.[0] : undefined
}

/** Whether a part of a path is what a profile wants there: words in small letters, joined by `-`. */
function fits({ environments }: Policy, wanted: string, given: string): boolean {
  if (given.includes('{}')) return true
  const spellings = Object.values(environments).flat().join('|')
  const pattern = wanted
    .split(/(\{[a-z-]+\})/)
    .map((each) => {
      if (each === '{environment}') return `(?:${spellings})`
      return each.startsWith('{') ? '[a-z0-9]+(?:-[a-z0-9]+)*' : RegExp.escape(each)
    })
    .join('')
  return new RegExp(`^${pattern}$`).test(given)
}
