/** An address to listen on, read from a setting. */
import { quote, SottoError } from '../../client/api/errors.ts'

/** The address in the text of `--flag`; without a host where the text has none. Throws `usage`. */
export function parseAddress(
  flag: string,
  text: string,
): { readonly host: string | undefined; readonly port: number } {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/i.exec(text)
  const host = found?.[1] ?? found?.[2]
  const port = Number(found?.[3])
  if (host === undefined || port > 65_535) {
    throw new SottoError(
      'usage',
      `Cannot use ${quote(text)} as --${flag}: it is not an address such as :443, 127.0.0.1:8080 or [::1]:8080`,
    )
  }
  return { host: host === '' ? undefined : host, port }
}
