/** The programs that read a mirror: what they are given, and how one is run. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { OpenBao } from '../../support/openbao.ts'

/** The environment of a program. A variable that is undefined is not set. */
export type Environment = Record<string, string | undefined>

export const run = promisify(execFile)

/** What every reader is given: where the OpenBao is, and a token of policy `reader`. */
export async function readerEnvironment(bao: OpenBao): Promise<Environment> {
  const token = await bao.token({ policies: ['reader'] })
  return {
    PATH: process.env['PATH'],
    HOME: import.meta.dirname,
    VAULT_TOKEN: token,
    BAO_TOKEN: token,
    BAO_ADDR: bao.url,
  }
}

/** Runs `program` and reads the JSON that it prints. Fails with what it says if it exits with another code than 0. */
export async function readJson(
  program: string,
  args: string[],
  env: Environment,
): Promise<unknown> {
  return JSON.parse((await run(program, args, { env })).stdout)
}
