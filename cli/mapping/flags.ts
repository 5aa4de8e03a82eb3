/** The flags that say which variables get which secrets. */
import type { Flags } from '../arguments.ts'

export const mappingFlags: Flags = {
  env: {
    short: 'e',
    value: 'NAME=SECRET[#FIELD][@VERSION]',
    many: true,
    help: 'Set a variable from a secret, or from a field of one that is JSON.',
  },
  'env-file': {
    value: 'FILE',
    many: true,
    help: 'Set the variables of this file: NAME=VALUE, or NAME=sotto://SECRET[#FIELD][@VERSION].',
  },
  prefix: {
    value: 'PREFIX',
    many: true,
    help: 'Set a variable from each secret whose name begins so: DB_URL from prod/app/db-url.',
  },
  'allow-name': {
    value: 'NAME',
    many: true,
    help: 'Allow a variable that decides which programs run, such as PATH or LD_PRELOAD.',
  },
}

/** How they work together, for help. */
export const mappingDetails = `A variable of --env-file replaces one of --prefix, and one of -e both; of several files the last counts. Two
secrets for one variable by -e, or by --prefix, are an error. All secrets are read, or nothing is written. In a name,
write %23 for #, %40 for @ and %25 for %. FIELD is a path such as db.password.`
