/** Where below their folder files of secrets may be. */
import { quote, SottoError } from '../../../client/api/errors.ts'

/** Throws `usage` for what is not a path below a folder, or a name that the folder itself uses. */
export function checkFilePath(path: string): string {
  const parts = path.split('/')
  const isFine =
    parts.every((part) => part !== '' && part !== '.' && !part.startsWith('..')) &&
    !path.includes('\0')
  if (isFine) return path
  throw new SottoError(
    'usage',
    `Cannot use --file ${quote(path)}: it is not a path below a folder`,
    {
      hint: 'Write it as in tls/key.pem: the folder is $SOTTO_SECRETS_DIR of the program.',
    },
  )
}
