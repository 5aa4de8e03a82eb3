/** Variables of the environment that were meant for Sotto, and that nothing reads. */
import { settings } from '../server/config/settings/table.ts'
import { nearest } from '../client/api/nearest.ts'

/** What Kubernetes sets in every pod for a Service, which may be called sotto. */
const ofService =
  /_SERVICE_(?:HOST|PORT)(?:_\w+)?$|_PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?$/

/** A sentence for each of `names` that nothing reads: of those like none that is read, only with `all`. */
export function strayVariables(names: readonly string[], all: boolean): string[] {
  // The last is for programs that `sotto run` starts, which may run sotto.
  const known = ['SOTTO_SERVER', 'SOTTO_SECRETS_DIR', ...settings.flatMap(({ env }) => env)]
  return names
    .filter((name) => !known.includes(name) && !ofService.test(name))
    .flatMap((name) => {
      const spelled = name.toUpperCase().replaceAll('-', '_')
      const longer = known
        .filter((each) => spelled.startsWith(`${each}_`))
        .toSorted()
        .at(-1)
      const meant = nearest(spelled, known) ?? longer
      if (meant !== undefined) return [`${name} is set, and is not read. Did you mean ${meant}?`]
      const flag = settings.find((each) => spelled === `SOTTO_${each.flag.toUpperCase()}`)?.flag
      const advice = flag === undefined ? '' : ` Use the flag --${flag}.`
      const ours = spelled.startsWith('SOTTO_')
      return ours && (all || flag !== undefined)
        ? [`${name} is set, and is not read.${advice}`]
        : []
    })
}
