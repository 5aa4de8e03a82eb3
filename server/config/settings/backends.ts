/** The settings of backends. */
import type { Setting } from './setting.ts'

export const backendSettings: readonly Setting[] = [
  {
    flag: 'backend-origin',
    env: ['SOTTO_BACKEND_ORIGIN'],
    value: 'URL',
    verbs: ['server'],
    help: 'Where backends may be: https://HOST:PORT; several are parted by commas. Default: nowhere.',
  },
  {
    flag: 'backend-jwt-file',
    env: ['SOTTO_BACKEND_JWT_FILE'],
    value: 'FILE',
    verbs: ['server'],
    help: 'The JWT that proves to a backend who the server is. Default: the token of the pod.',
  },
]
