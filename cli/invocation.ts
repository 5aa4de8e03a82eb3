/** One command as it was typed: what its code gets to work with. */
import { Client, type ClientOptions } from '../client/client.ts'
import { quote, SottoError } from '../client/api/errors.ts'
import { MAX_VERSION } from '../client/api/types.ts'
import type { Parsed } from './arguments.ts'
import type { Io } from './terminal/io.ts'
import { visible } from './terminal/text.ts'

/** The environment, as Node gives it. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Flags as they were given. */
export interface FlagValues {
  readonly value: (flag: string) => string | undefined
  readonly on: (flag: string) => boolean
}

/** A command with its arguments and flags, parsed but not yet checked. */
export class Invocation {
  readonly io: Io
  readonly env: Environment
  readonly #parsed: Parsed

  constructor(parsed: Parsed, io: Io, env: Environment) {
    this.#parsed = parsed
    this.io = io
    this.env = env
  }

  /** Whether answers and errors are wanted as JSON. */
  get json(): boolean {
    return this.text('output') === 'json'
  }

  /** The word at `index`, or undefined where fewer were given. */
  word(index: number): string | undefined {
    return this.#parsed.words[index]
  }

  /** The name of a secret at `index`. Throws `usage` for an empty one: often a variable that is not set. */
  name(index = 0): string {
    const name = this.#parsed.words[index]
    if (name) return name
    throw new SottoError('usage', 'The name of the secret is empty')
  }

  /** The version number at `index`. Throws `usage`, without the word: it may be a secret by mistake. */
  version(index: number): number {
    return readVersion(this.#parsed.words[index] ?? '', 'the version', 1)
  }

  /** The value of a flag, or undefined where it was not given. */
  text(flag: string): string | undefined {
    return this.#parsed.values.get(flag)
  }

  /** Whether a switch is on. */
  on(flag: string): boolean {
    return this.#parsed.switches.has(flag)
  }

  /** The flags, for what reads settings from them; `instead` replaces some of them. */
  flags(instead: Readonly<Record<string, string | undefined>> = {}): FlagValues {
    return { value: (flag) => instead[flag] ?? this.text(flag), on: (flag) => this.on(flag) }
  }

  /** The version that a flag gives, 0 where it was not given. Throws `usage`. */
  versionFlag(flag: string): number {
    return readVersion(this.text(flag) ?? '0', `--${flag}`, 0)
  }

  /** The URL of the server. Throws `usage` where none is given. */
  get server(): string {
    const server = this.text('server') || this.env['SOTTO_SERVER'] || this.env['SETEC_SERVER']
    if (server) return server
    const hint = 'Use -s URL, or set SOTTO_SERVER.'
    throw new SottoError('usage', 'No server address is set', { hint })
  }

  /**
   * A client of the server; `options` go before the flags. Throws `usage` where none is given or a
   * flag cannot be used.
   */
  client(options: Partial<ClientOptions> = {}): Client {
    const localAddress = this.text('local-address')
    return new Client({
      server: options.server ?? this.server,
      timeoutMs: readSeconds(this.text('timeout') ?? '30') * 1000,
      keepAlive: false,
      ...(localAddress !== undefined && { localAddress }),
      ...options,
    })
  }

  /** Prints data: as one line of JSON where that is wanted, else as `text` makes it. */
  async print(data: unknown, text: () => string | Uint8Array): Promise<void> {
    await this.io.stdout.write(this.json ? `${visible(JSON.stringify(data))}\n` : text())
  }
}

function readVersion(text: string, what: string, least: number): number {
  const version = /^\d{1,10}$/.test(text) ? Number(text) : -1
  if (version >= least && version <= MAX_VERSION) return version
  const message = `Cannot read ${what}: expected a whole number from ${least} to ${MAX_VERSION}`
  throw new SottoError('usage', message)
}

function readSeconds(text: string): number {
  const seconds = /^\d{1,6}(?:\.\d+)?$/.test(text) ? Number(text) : 0
  if (seconds > 0) return seconds
  const message = `Cannot use ${quote(text)} as --timeout: expected a number of seconds`
  throw new SottoError('usage', message)
}
