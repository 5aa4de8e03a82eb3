/** What programs print of the files that they read. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from '../support/sotto.ts'
import type { Found } from './contract.ts'

/** Runs a program in a folder that has `file`, and returns the bytes that it printed. */
export function printed(file: Buffer, program: string, args: readonly string[], env = {}): Buffer {
  using folder = temporaryDirectory()
  writeFileSync(join(folder.path, 'file'), file)
  return execFileSync(program, args, {
    cwd: folder.path,
    env: { PATH: process.env['PATH'], HOME: folder.path, ...env },
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** What `env -0` printed. */
export function environmentIn(bytes: Buffer): Found {
  const found: Record<string, Buffer> = {}
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at)
    const equals = bytes.indexOf('=', at)
    found[bytes.toString('latin1', at, equals)] = bytes.subarray(equals + 1, end)
    at = end + 1
  }
  return found
}

/** The texts of an object of base64. */
export function decoded(text: string): Found {
  const fields = Object.entries(JSON.parse(text) as Record<string, string>)
  return Object.fromEntries(fields.map(([name, each]) => [name, Buffer.from(each, 'base64')]))
}
