/**
 * Reads the words after a command by its flags. One dash or two are the same, as in Go, whose
 * habits setec's users have: `-version 2`, `--version=2` and `--version 2` all work.
 */
import { parseArgs } from 'node:util'
import { SottoError } from '../client/api/errors.ts'
import { given as checked } from '../client/api/given.ts'
import { nearest } from '../client/api/nearest.ts'

/** One flag. */
export interface Flag {
  /** What its value looks like, for help; absent for a switch. */
  readonly value?: string
  /** Whether each of its values counts, and not only the last. */
  readonly many?: true
  /** A second name of one letter. */
  readonly short?: string
  /** Resolves with the values that it can have, for completion, where help shows a word for them. */
  readonly choices?: () => Promise<readonly string[]>
  readonly help: string
}

/** Flags by name. */
export type Flags = Readonly<Record<string, Flag>>

/** What was found. */
export interface Parsed {
  /** The words that are neither flags nor values of flags. */
  readonly words: readonly string[]
  /** Values by the flag's full name; the last one counts. */
  readonly values: ReadonlyMap<string, string>
  /** Every value of the flags of which each counts, in order. */
  readonly lists: ReadonlyMap<string, readonly string[]>
  /** Switches that are given, on or off. */
  readonly switches: ReadonlyMap<string, boolean>
}

/**
 * Reads `args`. `--` ends the flags. With `discreet`, an unknown flag is not repeated in the error,
 * since it may be a secret value that was typed at the wrong place. `instead` has advice for flags of other programs.
 * Throws `usage`.
 */
export function parseArguments(
  args: readonly string[],
  flags: Flags,
  discreet = false,
  instead: Readonly<Record<string, string>> = {},
): Parsed {
  const parsed = parseArgs({
    args: longForm(args, flags, { discreet, instead }),
    options: Object.fromEntries(
      Object.keys(flags).map((name) => [name, { type: 'string', multiple: true }]),
    ),
    allowPositionals: true,
    strict: true,
  })
  const values = new Map<string, string>()
  const lists = new Map<string, readonly string[]>()
  const switches = new Map<string, boolean>()
  for (const [name, given] of Object.entries(parsed.values)) {
    const each = Array.isArray(given) ? given.map(String) : []
    const value = each.at(-1)
    if (value === undefined) continue
    if (flags[name]?.many) lists.set(name, each)
    else if (flags[name]?.value !== undefined) values.set(name, value)
    else switches.set(name, value === 'true')
  }
  return { words: parsed.positionals, values, lists, switches }
}

/** The full name of the flag that `name` is, or undefined. */
export function flagNamed(name: string, flags: Flags): string | undefined {
  if (Object.hasOwn(flags, name)) return name
  return Object.keys(flags).find((each) => flags[each]?.short === name)
}

/** Every flag written as `--name=value`, which has only one reading. */
function longForm(args: readonly string[], flags: Flags, unknown: Unknown): string[] {
  const out: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] as string
    if (arg === '--') return [...out, ...args.slice(at)]
    const match = /^--?([^=-][^=]*)(?:=([^]*))?$/.exec(arg)
    if (!match) {
      out.push(arg)
      continue
    }
    const [, typed = '', given] = match
    const name = flagNamed(typed, flags)
    if (name === undefined) throw unknownFlag(typed, flags, unknown)
    const shape = flags[name]?.value
    if (shape === undefined) out.push(`--${name}=${switchValue(name, given)}`)
    else if (given === undefined && ++at >= args.length) {
      throw new SottoError('usage', `The flag --${name} needs a value: ${shape}`)
    } else out.push(`--${name}=${checked(`--${name}`, given ?? args[at] ?? '', shape)}`)
  }
  return out
}

function switchValue(name: string, given: string | undefined): string {
  if (given === undefined || given === 'true') return 'true'
  if (given === 'false') return 'false'
  throw new SottoError('usage', `The flag --${name} is a switch and takes no value`)
}

function unknownFlag(typed: string, flags: Flags, { discreet, instead }: Unknown): SottoError {
  const meant = nearest(typed, Object.keys(flags))
  const advice = Object.hasOwn(instead, typed) ? instead[typed] : undefined
  const isSafe = advice !== undefined || meant !== undefined
  const shown = discreet && !isSafe ? '' : `: ${typed.length > 1 ? '--' : '-'}${typed}`
  const hint = advice ?? (meant === undefined ? undefined : `Did you mean --${meant}?`)
  return new SottoError('usage', `There is no such flag${shown}`, { hint })
}

/** How a flag is refused that is not there. */
interface Unknown {
  readonly discreet: boolean
  readonly instead: Readonly<Record<string, string>>
}
