/** Runs command lines one after another, and prints what each answered: run as another user. Argument: JSON. */
import { inProcess } from '../cli/in-process.ts'

const commands = JSON.parse(process.argv[2] ?? '[]') as {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}[]
const answered = []
for (const { args, env } of commands) {
  // Node itself reads that one.
  if (env['TMPDIR'] !== undefined) process.env['TMPDIR'] = env['TMPDIR']
  answered.push(await inProcess(args, env))
}
process.stdout.write(JSON.stringify(answered))
// A command that failed may have left something open.
process.exit()
