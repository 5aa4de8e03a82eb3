/** `sotto doctor`: checks what the server needs, and says what to do about what is wrong. */
import { type DoctorConfig, readDoctorConfig } from '../../server/config/config.ts'
import { LocalApi } from '../../server/identity/tailscale/local-api.ts'
import { clockFinding, stateFindings, userFinding } from './doctor-host.ts'
import { networkFindings } from './doctor-network.ts'
import type { Finding } from './finding.ts'
import type { Environment } from '../invocation.ts'
import type { Io } from '../terminal/io.ts'
import { table, visible } from '../terminal/text.ts'

/** Looks, prints, and resolves with the exit code: 1 when something failed. Rejects with `usage`. */
export async function doctor(args: readonly string[], env: Environment, io: Io): Promise<number> {
  const config = readDoctorConfig(args, env)
  const findings = await examine(config, new Date(io.now()))
  const failed = findings.some(({ state }) => state === 'failed')
  await io.stdout.write(
    config.json ? `${visible(JSON.stringify({ ok: !failed, findings }))}\n` : asText(findings),
  )
  return failed ? 1 : 0
}

async function examine(config: DoctorConfig, now: Date): Promise<Finding[]> {
  const localApi = new LocalApi({ path: config.tailscaled.socket })
  try {
    return [
      userFinding(),
      ...(await networkFindings(config, localApi, now)),
      await clockFinding(),
      ...stateFindings(config, now),
    ]
  } finally {
    await localApi.close()
  }
}

function asText(findings: readonly Finding[]): string {
  const rows = findings.flatMap(({ name, state, message, hint }) => [
    [`${state} `, `${name} `, message],
    ...(hint === undefined ? [] : [['', '', `do: ${hint}`]]),
  ])
  return table(rows)
}
