/** Runs a program on a terminal of its own, which needs Python: Node has no terminals to give. */
import { join } from 'node:path'
import { requirePeer } from './peers.ts'
import { run } from './process.ts'

/** A program, and what is typed when something was shown. */
export interface Script {
  readonly argv: readonly string[]
  /** The whole environment, but for PATH and HOME. */
  readonly env: Readonly<Record<string, string>>
  /** What must be shown, and the keys that are typed then; null sends SIGTERM in their place. */
  readonly dialog: readonly (readonly [shown: string, keys: string | null])[]
  /** A file for the program's stdout, which is the terminal when absent. */
  readonly stdout?: string
  /** How many characters a line of the terminal has; absent: it does not say. */
  readonly columns?: number
  /** The seconds that it may take. Default: 20. */
  readonly patience?: number
}

/** What came of it. */
export interface Talk {
  /** All that the terminal showed; its lines end in CR LF, as a terminal has them. */
  readonly screen: string
  /** The exit code, or the negative number of the signal; null for a program that did not end. */
  readonly exit: number | null
  /** Whether the terminal shows again what is typed. */
  readonly echo: boolean
  /** What was waited for in vain. */
  readonly missed: string | null
}

/** Runs the script to its end. */
export async function talk(script: Script): Promise<Talk> {
  const { PATH, HOME } = process.env
  const { stdout, stderr } = await run(
    requirePeer('python3'),
    [join(import.meta.dirname, 'terminal.py')],
    { input: JSON.stringify({ ...script, env: { PATH, HOME, ...script.env } }) },
  )
  if (stderr !== '') throw new Error(`terminal.py: ${stderr}`)
  return JSON.parse(stdout) as Talk
}
