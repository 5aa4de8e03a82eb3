/** The PostgreSQL of a rotation, with who changes it and who uses it. */
import { quote } from '../../../../client/api/errors.ts'
import type { RotationConfig } from '../../../../client/api/rotations.ts'
import type { Login } from '../../login-value.ts'
import type { Targets } from '../../targets.ts'
import type { RunValues } from '../contract.ts'
import { refusal } from './roles.ts'
import { inSession, isLoginRefused, type Session } from './session.ts'

type Config = Extract<RotationConfig, { server: string }>

/** One database. */
export class PostgresPlace {
  readonly #config: Config
  readonly #targets: Targets

  constructor(config: Config, targets: Targets) {
    this.#config = config
    this.#targets = targets
  }

  /** The URL of the database, without a login. */
  get url(): string {
    const { server, database } = this.#config
    return `${server.replace('postgres:', 'postgresql:')}/${database}`
  }

  /** Runs `act` as who may change logins. */
  async asAdmin<T>(values: RunValues, act: (session: Session) => Promise<T>): Promise<T> {
    const { user: username, secret } = this.#config.admin
    // Before anything is read for it.
    await this.#targets.reach(this.#config)
    // Who puts a password by hand often ends the line.
    const password = (await values.secret(secret)).toString().replace(/\r?\n$/, '')
    return this.as({ username, password }, act)
  }

  /** Runs `act` as `login`, as a program would. */
  async as<T>(login: Login, act: (session: Session) => Promise<T>): Promise<T> {
    const reached = await this.#targets.reach(this.#config)
    return inSession({ reached, database: this.#config.database, login }, act)
  }

  /** Rejects with `rotation_refused` unless `login`, that of the active version, is let in. */
  async demandAccepted(login: Login): Promise<void> {
    if (await this.accepts(login)) return
    throw refusal(
      `The active version, of ${quote(login.username)}, is not let in`,
      'Find the version that is, and activate it: after a restore it can be one that is not there any more.',
    )
  }

  /** Whether `login` is let in. */
  async accepts(login: Login): Promise<boolean> {
    try {
      return await this.as(login, async () => true)
    } catch (error) {
      if (isLoginRefused(error)) return false
      throw error
    }
  }
}
