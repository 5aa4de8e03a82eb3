/** The program as it is published, which starts sooner than its sources do. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { ServerProcess } from './server.ts'

const top = new URL('../../..', import.meta.url).pathname

/** A program to start servers with. */
export interface Program {
  /** The path of the command line. */
  readonly cli: string
  /** Settings of the environment that go with it. */
  readonly env: Readonly<Record<string, string>>
}

/** Builds the program into `directory`, which is made, and fills its cache of compiled code. */
export async function build(directory: string): Promise<Program> {
  mkdirSync(directory)
  copyFileSync(join(top, 'package.json'), join(directory, 'package.json'))
  symlinkSync(join(top, 'node_modules'), join(directory, 'node_modules'))
  const out = join(directory, 'dist')
  // Not into dist/, where another test may build at the same time. npm run knows where the tools are.
  execFileSync('npm', ['run', '-s', 'build', '--', out], { cwd: top, stdio: 'inherit' })
  const program = {
    cli: join(out, 'cli/main.js'),
    env: { XDG_CACHE_HOME: join(directory, 'cache') },
  }
  // What is killed never gets to keep its compiled code for the next start.
  const first = new ServerProcess({ state: join(directory, 'state'), program })
  await first.demandReady()
  await first.stop()
  return program
}
