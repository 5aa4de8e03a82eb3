/** What `sotto doctor` finds of the store: whether a server could start on it, with the settings that are given. */
import { asSottoError, quote } from '../../client/api/errors.ts'
import { BackupMemory } from '../../server/backup/schedule/memory.ts'
import { parseName } from '../../server/backup/name.ts'
import { targetAt } from '../../server/backup/targets/place.ts'
import { authoritiesIn } from '../../server/backends/own-identity.ts'
import type { DoctorConfig } from '../../server/config/config.ts'
import { SERVICE_ACCOUNT_TOKEN } from '../../server/config/keys.ts'
import { identityProvider } from '../../server/crypto/recovery.ts'
import type { WrapProof } from '../../server/keys/wraps.ts'
import { accessFault, systemError } from '../../client/platform/system-error.ts'
import { readTextFile } from '../../client/platform/text-file.ts'
import { processTimers } from '../../client/platform/timers.ts'
import { type Examined, examine, examineKeys, examineLog } from '../../server/start/examine.ts'
import { diskFindings } from './doctor-host.ts'
import { failure, type Finding, ok, warning } from './finding.ts'

/** Opens the store as a server does, and looks at where backups and backends are. Never rejects. */
export async function storeFindings(config: DoctorConfig, clock: () => Date): Promise<Finding[]> {
  const { stateDir } = config
  await using undo = new AsyncDisposableStack()
  const found: Finding[] = []
  let examined: Examined | undefined
  if (stateDir === undefined) {
    found.push(warning('state', 'is not looked at', 'Give --state-dir, as the server has it.'))
  } else {
    try {
      examined = await examine({ stateDir }, undo)
      found.push(ok('state', stateWords(examined)))
      found.push(...(await keyFindings({ ...config, stateDir }, examined)))
      found.push(...diskFindings(examined.state, clock))
    } catch (error) {
      found.push(failure('state', error))
    }
  }
  found.push(...(await backupFindings(config, examined)), ...(await backendFindings(config)))
  return found
}

function stateWords({ state, usedBy }: Examined): string {
  const where = `a store in ${quote(state.path)}, which no other user can enter`
  if (usedBy === undefined) return where
  return `${where}; ${usedBy === 0 ? 'a process' : `process ${usedBy}`} is using it`
}

async function keyFindings(
  config: DoctorConfig & { readonly stateDir: string },
  examined: Examined,
): Promise<Finding[]> {
  try {
    const { keyring, proofs } = await examineKeys(config, examined)
    const found = proofs.filter(({ wrap }) => wrap.provider !== 'recovery').map(keyFinding)
    const given = await identityFindings(config.recoveryIdentity, proofs)
    const ofLog = await logFindings(examined, keyring)
    return [...found, ...recoveryFindings(proofs), ...given, ...ofLog]
  } catch (error) {
    return [failure('key', error)]
  }
}

function keyFinding({ wrap, state, reason = '', hint, otherGiven }: WrapProof): Finding {
  const name = `${wrap.provider} key ${wrap.fingerprint}`
  if (state === 'proven') return ok('key', `${name} opens the store`)
  const message = `${name} was not tried: ${reason}`
  // A key that is kept elsewhere is not a fault.
  return state === 'untried' && otherGiven !== true
    ? ok('key', message)
    : warning('key', state === 'untried' ? message : reason, hint)
}

function recoveryFindings(proofs: readonly WrapProof[]): Finding[] {
  const name = 'recovery key'
  const own = proofs.filter(({ wrap }) => wrap.provider === 'recovery')
  if (own.length === 0) {
    const hint = 'Make one with age-keygen and add it: `sotto help key add`.'
    return [warning(name, 'none: if the other keys are lost, so is the store', hint)]
  }
  return own.map(({ wrap, state, reason = '', hint }) => {
    if (state === 'failed') return warning(name, reason, hint)
    if (wrap.provenAt !== undefined) {
      return ok(name, `${wrap.fingerprint}, which opened the store at ${wrap.provenAt}`)
    }
    const due = 'Run `sotto key check --recovery-identity FILE` where its identity is.'
    return warning(name, `${wrap.fingerprint} was never proven`, due)
  })
}

/** Nothing else looks at an identity that is given for a store without a recovery key. */
async function identityFindings(
  path: string | undefined,
  proofs: readonly WrapProof[],
): Promise<Finding[]> {
  if (path === undefined || proofs.some(({ wrap }) => wrap.provider === 'recovery')) return []
  const name = 'identity'
  try {
    const fingerprint = await identityProvider(path).fingerprint()
    const hint = '`sotto key add recovery` adds one; or leave --recovery-identity out.'
    return [warning(name, `${fingerprint} opens nothing: the store has no recovery key`, hint)]
  } catch (error) {
    const { message, hint = '' } = asSottoError(error)
    return [warning(name, message, hint)]
  }
}

async function logFindings(
  examined: Examined,
  keyring: Parameters<typeof examineLog>[1],
): Promise<Finding[]> {
  // Beside a server both go on meanwhile, and it compared them when it started.
  if (examined.usedBy !== undefined) return []
  try {
    await examineLog(examined, keyring)
    return [ok('audit log', 'agrees with the store')]
  } catch (error) {
    return [failure('audit log', error)]
  }
}

async function backupFindings(
  { backups }: DoctorConfig,
  examined: Examined | undefined,
): Promise<Finding[]> {
  const name = 'backups'
  if (backups === undefined) {
    const hint = 'Give --backup-to: see docs/guides/backup.md#backups-by-the-server.'
    return [warning(name, 'none are made', hint)]
  }
  const { place, rehearsal } = backups
  const target = targetAt(place)
  const where = quote(target.description)
  try {
    const objects = await target.list()
    const unwritable = place.kind === 'directory' && accessFault(place.path, true)
    if (unwritable) throw systemError(unwritable, 'keep backups in', place.path)
    const storeId = examined?.store.identity.id
    const own = objects
      .flatMap((each) => parseName(each.name) ?? [])
      .filter((each) => storeId === undefined || each.storeId === storeId)
      .toSorted((one, other) => one.revision - other.revision)
    const newest = own.at(-1)
    const known =
      examined &&
      (await BackupMemory.open(examined.state.backups, target.description, processTimers))
    const proven = known?.proven ? `proven at ${known.proven.at}` : 'none is proven yet'
    return [
      newest
        ? ok(name, `${own.length} in ${where}, the newest of ${newest.created}; ${proven}`)
        : warning(name, `none are in ${where} yet`, 'The server makes one when it runs.'),
      ...rehearsalFindings(rehearsal?.directory),
    ]
  } catch (error) {
    return [failure(name, error)]
  }
}

function rehearsalFindings(directory: string | undefined): Finding[] {
  const fault = directory === undefined ? undefined : accessFault(directory, true)
  if (directory === undefined || fault === undefined) return []
  return [failure('rehearsal', systemError(fault, 'restore backups for a while in', directory))]
}

/** The files that backends are reached with. */
async function backendFindings(config: DoctorConfig): Promise<Finding[]> {
  const { backendOrigins: origins = [], backendCaFile, backendJwtRoles = [] } = config
  const { backendJwtFile = SERVICE_ACCOUNT_TOKEN } = config
  if (origins.length === 0 && backendCaFile === undefined) return []
  try {
    if (backendCaFile !== undefined) await authoritiesIn(backendCaFile)
    if (backendJwtRoles.length > 0) await readTextFile(backendJwtFile, 'JWT for backends')
    return [ok('backends', `may be at ${origins.join(', ')}`)]
  } catch (error) {
    return [failure('backends', error)]
  }
}
