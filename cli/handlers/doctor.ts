/** `sotto doctor`: checks what the server needs, and says what to do about what is wrong. */
import { quote } from '../../client/api/errors.ts'
import { type DoctorConfig, readDoctorConfig } from '../../server/config/config.ts'
import { LocalApi } from '../../server/identity/tailscale/local-api.ts'
import { version } from '../../server/platform/version.ts'
import { clockFinding, userFinding } from './doctor-host.ts'
import { networkFindings } from './doctor-network.ts'
import { storeFindings } from './doctor-store.ts'
import { type Finding, ok } from './finding.ts'
import type { Environment } from '../../client/api/given.ts'
import { jsonLine } from '../json.ts'
import type { Io } from '../terminal/io.ts'
import { roomOf } from '../terminal/layout.ts'
import { table } from '../terminal/table.ts'

/** Looks, prints, and resolves with the exit code: 1 when something failed. Rejects with `usage`. */
export async function doctor(args: readonly string[], env: Environment, io: Io): Promise<number> {
  const config = readDoctorConfig(args, env)
  const findings = await examine(config, () => new Date(io.now()))
  const failed = findings.some(({ state }) => state === 'failed')
  await io.stdout.write(
    config.json ? jsonLine({ ok: !failed, findings }) : asText(findings, roomOf(io.stdout)),
  )
  return failed ? 1 : 0
}

async function examine(config: DoctorConfig, clock: () => Date): Promise<Finding[]> {
  const localApi = new LocalApi({ path: config.tailscaled.socket })
  try {
    return [
      ok('version', version),
      ...fileFindings(config),
      userFinding(),
      ...(await networkFindings(config, localApi, clock())),
      await clockFinding(),
      ...(await storeFindings(config, clock)),
    ]
  } finally {
    await localApi.close()
  }
}

function fileFindings({ configFile }: DoctorConfig): Finding[] {
  if (configFile === undefined) return []
  const { path, count } = configFile
  return [ok('config', `${quote(path)} has ${count} ${count === 1 ? 'setting' : 'settings'}`)]
}

function asText(findings: readonly Finding[], room: number | undefined): string {
  const rows = findings.flatMap(({ name, state, message, hint }) => [
    [`${state} `, `${name} `, message],
    ...(hint === undefined ? [] : [['', '', `do: ${hint}`]]),
  ])
  return table(rows, { room })
}
