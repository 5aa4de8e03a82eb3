/** What a definition comes to: what its Secret is to have, and what to say of it. */
import { createHash } from 'node:crypto'
import { quote } from '../../../client/api/errors.ts'
import type { Content } from './content.ts'
import type { Definition } from './definition.ts'
import type { SecretResource } from './secret.ts'
import type { Outcome } from './status.ts'

/** Whether Sotto has not said of each key what it has. */
export function isUnknown(content: Content): boolean {
  return stateOf(content, 'unknown').length > 0
}

/** The name of the Secret: of one that is not to be changed, another one for each content. It tells versions, not values. */
export function secretNameFor(
  { secret, type, entries, isImmutable }: Definition,
  content: Content,
): string {
  if (!isImmutable) return secret
  const versions = entries.map((entry) => {
    const made = content.get(entry.key)
    return { ...entry, version: made?.state === 'value' ? made.version : 0 }
  })
  const hash = createHash('sha256').update(JSON.stringify([type, versions]))
  return `${secret}-${hash.digest('hex').slice(0, 8)}`
}

/** All is well. */
export function synced(secret: string): Outcome {
  return { reason: 'Synced', message: `The Secret ${secret} is as Sotto has it.` }
}

/** What is said of names that are refused: the same whether there is such a secret or not. */
export function deniedBy(names: readonly string[]): Outcome {
  return {
    reason: 'Denied',
    message: `This namespace may not have ${names.map(quote).join(', ')}.`,
  }
}

/** What is the matter with the content; undefined where nothing is. */
export function troubleOf({ entries }: Definition, content: Content): Outcome | undefined {
  const namesOf = (keys: readonly string[]): string[] => [
    ...new Set(entries.filter(({ key }) => keys.includes(key)).map(({ name }) => name)),
  ]
  const denied = stateOf(content, 'denied')
  if (denied.length > 0) return deniedBy(namesOf(denied))
  const missing = stateOf(content, 'missing')
  if (missing.length > 0) {
    return {
      reason: 'Missing',
      message: `Sotto does not have ${namesOf(missing).map(quote).join(', ')}.`,
    }
  }
  for (const [key, made] of content) {
    if (made.state === 'unfit') {
      const [name = ''] = namesOf([key])
      return { reason: 'Missing', message: `The key ${quote(key)} of ${quote(name)}: ${made.why}.` }
    }
  }
  return undefined
}

/** What the Secret is to have; undefined where it is to stay as it is. */
export function dataOf(
  { onMissing, isImmutable }: Definition,
  content: Content,
  live: SecretResource | undefined,
): Record<string, string> | undefined {
  const data: Record<string, string> = {}
  for (const [key, made] of content) {
    const old = onMissing === 'keepOld' && !isImmutable ? live?.data?.[key] : undefined
    const text = made.state === 'value' ? made.base64 : old
    if (text === undefined) return undefined
    data[key] = text
  }
  return data
}

/** `text` as a sentence. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}

/** The keys that are in that state. */
function stateOf(content: Content, state: string): string[] {
  return [...content].flatMap(([key, made]) => (made.state === state ? [key] : []))
}
