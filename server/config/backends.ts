/** What only the settings may say about backends, and no caller of the API: where they may be, and the server's files. */
import { quote, SottoError } from '../../client/api/errors.ts'
import { setOf, type SettingValues } from './settings/setting.ts'

/** Where the server may connect to for backends, and how it proves its identity. */
export interface BackendsConfig {
  /** Scheme, host and port of each. Absent: nowhere. */
  readonly backendOrigins?: readonly string[]
  /** The JWT that proves to a backend who the server is. Absent: the token of the pod's service account. */
  readonly backendJwtFile?: string
}

/** Reads them. Throws `usage` for what is not an origin. */
export function backendsConfig(given: SettingValues): BackendsConfig {
  const origins = given.value('backend-origin')
  return {
    ...(origins !== undefined && { backendOrigins: originsIn(origins) }),
    ...setOf(given, { backendJwtFile: 'backend-jwt-file' }),
  }
}

function originsIn(text: string): string[] {
  return text.split(',').map((each) => {
    const url = URL.parse(each.trim())
    if (url && /^https?:$/.test(url.protocol) && `${url.origin}/` === url.href) return url.origin
    throw new SottoError('usage', `Cannot use ${quote(each)} as --backend-origin`, {
      hint: 'It is https://HOST:PORT, and nothing after that.',
    })
  })
}
