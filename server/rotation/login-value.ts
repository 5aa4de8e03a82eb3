/** The value of a secret that logs in: made by the template of its rotation, and read again. */
import type { LoginTemplate } from '../../client/api/rotation-targets.ts'
import { randomText } from './template.ts'

/** Who logs in. */
export interface Login {
  readonly username: string
  readonly password: string
}

/** Of URLs that log in. */
const protocols = /^(?:postgres(?:ql)?|rediss?|valkeys?):$/

/** A new password, as the template asks. */
export function newPassword(template: LoginTemplate): string {
  return randomText(template)
}

/** The value for `login` at `place`, a URL without one. The caller zeroes it. */
export function loginValue(
  template: LoginTemplate,
  { username, password }: Login,
  place: string,
): Uint8Array<ArrayBuffer> {
  switch (template.shape) {
    case 'json':
      return Buffer.from(JSON.stringify({ ...template.fields, username, password }))
    case 'password':
      return Buffer.from(password)
    case 'url':
      break
  }
  const query = template.parameters === '' ? '' : `?${template.parameters}`
  const user = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`
  return Buffer.from(`${place.replace('//', () => `//${user}@`)}${query}`)
}

/** The login in `value`; `only` is the one that a password alone is of. Undefined where the value has another shape. */
export function loginIn(
  { shape }: LoginTemplate,
  value: Uint8Array,
  only?: string,
): Login | undefined {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
  switch (shape) {
    case 'json':
      return fieldsIn(text)
    case 'password':
      return only === undefined || text === '' ? undefined : { username: only, password: text }
    case 'url':
      break
  }
  const url = URL.parse(text)
  if (!url || !protocols.test(url.protocol) || url.password === '') return undefined
  try {
    const [username, password] = [url.username, url.password].map(decodeURIComponent)
    return { username: username ?? '', password: password ?? '' }
  } catch {
    return undefined
  }
}

function fieldsIn(text: string): Login | undefined {
  try {
    const found = JSON.parse(text) as Partial<Record<'username' | 'password', unknown>> | null
    const { username, password } = found ?? {}
    return typeof username === 'string' && typeof password === 'string'
      ? { username, password }
      : undefined
  } catch {
    return undefined
  }
}
