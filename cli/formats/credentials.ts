/** For `LoadCredential=` of systemd: each value is a file of its own, of any bytes. */
import { bytesOf, type Format } from './format.ts'

/** What systemd takes for one unit. */
const MAX_BYTES = 1024 * 1024

export const credentials: Format = {
  reader: 'LoadCredential= of systemd, a file each',
  refusal: ({ variable }) => {
    if (!/^[A-Za-z0-9._-]+$/.test(variable) || /^\.\.?$/.test(variable)) {
      return 'its name has other characters than letters, digits, ".", "_" and "-"'
    }
    return variable.length > 255 ? 'its name is longer than 255 bytes' : undefined
  },
  refusalOfAll: (entries) =>
    bytesOf(entries) > MAX_BYTES ? 'they have more than 1 MiB together' : undefined,
}
