/** The file of `--map`: which variables and files get which secrets, in YAML or JSON. */
import { quote, SottoError } from '../../../client/api/errors.ts'
import { isObject } from '../../../client/answer.ts'
import { readTextFile } from '../../../client/platform/text-file.ts'
import { dataOf, parseYaml } from '../../../server/platform/yaml.ts'
import type { Mapped } from '../../mapping/mapping.ts'
import { parseReference, SCHEME } from '../../mapping/reference.ts'
import { checkFilePath } from './file-path.ts'
import type { MappedFile, Wanted } from './values.ts'

const shape = 'variables: {DB_URL: prod/app/db-url}, files: {tls/key.pem: prod/web/tls-key}'

/** Reads it. Throws `usage` for what is not such a file. */
export async function readMap(path: string): Promise<Wanted> {
  const problem = `Cannot use ${quote(path)}`
  const { documents, fault } = parseYaml(await readTextFile(path, 'map of secrets'), problem)
  const [document, ...more] = documents
  const data = document && more.length === 0 ? dataOf(document, fault) : undefined
  const refused = (why: string): SottoError => fault(undefined, why, `It is ${shape}.`)
  if (!isObject(data)) throw refused('it is not one mapping')
  const { variables = {}, files = {}, ...others } = data
  const [other] = Object.keys(others)
  if (other !== undefined) throw refused(`it has ${quote(other)}, which is not known`)
  const entries = (part: unknown, what: string): [string, string][] => {
    if (!isObject(part)) throw refused(`${what} is not a mapping of names to secrets`)
    return Object.entries(part).map(([name, secret]) => {
      if (typeof secret === 'string') return [name, secret]
      throw refused(`${what}: ${quote(name)} is not the name of a secret`)
    })
  }
  const from = (name: string, text: string): MappedFile['from'] =>
    parseReference(text.replace(SCHEME, ''), `${problem}: ${quote(name)}`)
  return {
    variables: entries(variables, 'variables').map(
      ([variable, text]): Mapped => ({
        variable,
        from: from(variable, text),
      }),
    ),
    files: entries(files, 'files').map(([name, text]) => ({
      path: checkFilePath(name),
      from: from(name, text),
    })),
  }
}
