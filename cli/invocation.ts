/** One command as it was typed: what its code gets to work with. */
import { Client, type ClientOptions } from '../client/client.ts'
import type { Via } from '../client/connection.ts'
import { SottoError } from '../client/api/errors.ts'
import { type Environment, variableIn } from '../client/api/given.ts'
import { durationOf } from '../client/api/times.ts'
import { MAX_VERSION } from '../client/api/types.ts'
import type { Typed } from '../server/config/settings/setting.ts'
import type { Parsed } from './arguments.ts'
import { jsonLine } from './json.ts'
import type { Io } from './terminal/io.ts'
import { roomOf, within } from './terminal/layout.ts'
import { operatorsSocket, viaOperators } from './operators-socket.ts'

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

  /** The name of a secret, the first word. */
  name(): string {
    return this.#parsed.words[0] ?? ''
  }

  /** The version number at `index`. Throws `usage`, without the word: it may be a secret by mistake. */
  version(index: number): number {
    return readVersion(this.#parsed.words[index] ?? '', 'the version', 1)
  }

  /** Every word, for a command that takes any number. */
  get words(): readonly string[] {
    return this.#parsed.words
  }

  /** The value of a flag, or undefined where it was not given. */
  text(flag: string): string | undefined {
    return this.#parsed.values.get(flag)
  }

  /** Every value of a flag of which each counts, in order. */
  texts(flag: string): readonly string[] {
    return this.#parsed.lists.get(flag) ?? []
  }

  /** Whether a switch is on. */
  on(flag: string): boolean {
    return this.#parsed.switches.get(flag) === true
  }

  /** The flags, for what reads settings from them; `instead` replaces some of them. */
  typed(instead: Readonly<Record<string, string | undefined>> = {}): Typed {
    return (flag) => instead[flag] ?? this.text(flag) ?? this.#parsed.switches.get(flag)
  }

  /** The version that a flag gives, which is `least` or more; 0 where it was not given. Throws `usage`. */
  versionFlag(flag: string, least = 0): number {
    const text = this.text(flag)
    return text === undefined ? 0 : readVersion(text, `--${flag}`, least)
  }

  /** The URL of the server; undefined where none is given. Throws `usage` where its variable is empty. */
  get named(): string | undefined {
    return this.text('server') ?? variableIn(this.env, ['SOTTO_SERVER', 'SETEC_SERVER'])?.value
  }

  /** As `named`. Throws `usage` where none is given. */
  get server(): string {
    const server = this.named
    if (server !== undefined) return server
    const hint =
      'Use -s URL, or set SOTTO_SERVER. Operators on the host of the server: set SOTTO_STATE_DIR.'
    throw new SottoError('usage', 'No server address is set', { hint })
  }

  /** The way of operators to the server that runs on this host; undefined where there is none. */
  get operatorsWay(): Via | undefined {
    return this.operatorsAt(variableIn(this.env, ['SOTTO_STATE_DIR'])?.value)
  }

  /** The same, for the server of the state directory that a flag names, or else of `stateDir`. */
  operatorsAt(stateDir: string | undefined): Via | undefined {
    const socket = operatorsSocket(this.text('state-dir') ?? stateDir ?? '/var/lib/sotto')
    return socket === undefined ? undefined : viaOperators(socket, this.env['SUDO_USER'])
  }

  /** How long a call may take. A number alone is of seconds. Throws `usage`. */
  get timeoutMs(): number {
    const text = this.text('timeout') ?? '30'
    const given = /^\d+(?:\.\d+)?$/.test(text) ? `${text}s` : text
    return durationOf('timeout', given, ['1ms', '24d'])
  }

  /**
   * A client of the server; `options` go before the flags. Throws `usage` where none is given or a
   * flag cannot be used.
   */
  client(options: Partial<ClientOptions> = {}): Client {
    const localAddress = this.text('local-address')
    const named = options.server ?? this.named
    const via = options.via ?? (named === undefined ? this.operatorsWay : undefined)
    return new Client({
      server: named ?? (via ? 'http://localhost' : this.server),
      ...(via && { via }),
      timeoutMs: this.timeoutMs,
      keepAlive: false,
      ...(localAddress !== undefined && { localAddress }),
      ...options,
    })
  }

  /**
   * Prints data: as one line of JSON where that is wanted, else as `text` makes it, for lines of that many characters
   * where a terminal limits them.
   */
  async print(data: unknown, text: (room: number | undefined) => string): Promise<void> {
    const { stdout } = this.io
    if (this.json) return stdout.write(jsonLine(data))
    const room = roomOf(stdout)
    await stdout.write(room === undefined ? text(room) : within(text(room), room))
  }
}

function readVersion(text: string, what: string, least: number): number {
  const version = /^\d{1,10}$/.test(text) ? Number(text) : -1
  if (version >= least && version <= MAX_VERSION) return version
  const message = `Cannot read ${what}: expected a whole number from ${least} to ${MAX_VERSION}`
  throw new SottoError('usage', message)
}
