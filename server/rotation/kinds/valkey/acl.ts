/**
 * One user of Valkey or Redis with two passwords at a time: the new one is added, and the old one taken away when no
 * program holds it. On every server that is named, since users are not replicated, and so that it outlives a restart.
 */
import { quote, SottoError } from '../../../../client/api/errors.ts'
import type { RotationConfig } from '../../../../client/api/rotations.ts'
import { type Login, loginIn, loginValue, newPassword } from '../../login-value.ts'
import type { Targets } from '../../targets.ts'
import type { Kind, RunValues } from '../contract.ts'
import type { Answer } from './answers.ts'
import { hashOf, inSession, isLoginRefused, type Session } from './session.ts'

type Config = Extract<RotationConfig, { kind: 'valkey-acl' }>

/** The kind `valkey-acl`. */
export function valkeyAclKind(config: Config, targets: Targets): Kind {
  const { user, template, servers, admin } = config

  const loginOf = (value: Uint8Array): Login => {
    const found = loginIn(template, value, user)
    if (found?.username === user) return found
    throw refusal(
      `A version is not of the user ${quote(user)} in the shape ${template.shape}`,
      'Put a version of that user, and activate it.',
    )
  }
  /** Runs `act` on each server, one after another, as who may change users. */
  const onEach = async (
    values: RunValues,
    act: (session: Session, server: string) => Promise<void>,
  ): Promise<void> => {
    // Before anything is read for it.
    const reached = await targets.reachAll(config)
    const password = (await values.secret(admin.secret)).toString().replace(/\r?\n$/, '')
    for (const each of reached) {
      const login = { username: admin.user, password }
      await inSession(each, login, (session) => act(session, each.server))
    }
  }
  const accepts = async (login: Login): Promise<boolean> => {
    for (const each of await targets.reachAll(config)) {
      try {
        await inSession(each, login, async () => {})
      } catch (error) {
        if (isLoginRefused(error)) return false
        throw error
      }
    }
    return true
  }
  const change = async (session: Session, server: string, rule: string): Promise<void> => {
    await session.command('ACL', 'SETUSER', user, rule)
    await persist(session, server)
  }

  return {
    byHand: false,
    overlaps: true,
    retires: true,

    plan: async () => targets.problemOf(config)?.message.split('\n') ?? [],

    generate: async (old, values) => {
      const hash = hashOf(loginOf(old).password)
      await onEach(values, async (session, server) => {
        await demandNamed(session, server, servers.length)
        const found = await hashesOf(session, server, user)
        if (found.length === 1 && found[0] === hash) return
        throw refusal(
          `${quote(user)} has ${found.length} passwords at ${quote(server)}, or not that of the active version`,
          'A run begins with that one alone: ACL SETUSER takes the others away, with ! and their hash.',
        )
      })
      const [first] = await targets.reachAll(config)
      const scheme = first?.tls === false ? 'redis:' : 'rediss:'
      const place = first?.server.replace('valkey:', scheme) ?? ''
      return loginValue(template, { username: user, password: newPassword(template) }, place)
    },

    apply: async (values) => {
      const hash = hashOf(loginOf(await values.candidate()).password)
      await onEach(values, async (session, server) => {
        const found = await hashesOf(session, server, user)
        if (!found.includes(hash)) await session.command('ACL', 'SETUSER', user, `#${hash}`)
        // Also where a crash came in between.
        await persist(session, server)
      })
    },

    accepts: async (value) => accepts(loginOf(await value())),

    test: async ({ candidate }) => {
      if (await accepts(loginOf(await candidate()))) return
      throw refusal(`The candidate of ${quote(user)} is not let in`, 'Look at its flags there.')
    },

    // A server does not tell by which of its passwords a user is there.
    sessions: async () => undefined,

    retire: async (values) => {
      const hash = hashOf(loginOf(await values.candidate()).password)
      await onEach(values, async (session, server) => {
        for (const other of await hashesOf(session, server, user)) {
          if (other !== hash) await change(session, server, `!${other}`)
        }
        await persist(session, server)
      })
    },

    restore: async (values) => {
      const hash = hashOf(loginOf(await values.candidate()).password)
      await onEach(values, async (session, server) => {
        const found = await hashesOf(session, server, user)
        if (found.includes(hash)) await change(session, server, `!${hash}`)
      })
    },
  }
}

/** The hashes of the passwords of `user`. */
async function hashesOf(session: Session, server: string, user: string): Promise<string[]> {
  const found = fieldsOf(await session.command('ACL', 'GETUSER', user))
  if (!found) throw refusal(`There is no user ${quote(user)} at ${quote(server)}`, 'Make it first.')
  const [flags, passwords] = [textsIn(found.get('flags')), textsIn(found.get('passwords'))]
  if (flags.includes('on') && !flags.includes('nopass')) return passwords
  throw refusal(
    `${quote(user)} is off at ${quote(server)}, or needs no password`,
    'ACL SETUSER with on and resetpass changes that.',
  )
}

/** Rejects where a replica is not named: programs would be refused there. */
async function demandNamed(session: Session, server: string, named: number): Promise<void> {
  const role = await session.command('ROLE')
  const replicas = Array.isArray(role) && role[0] === 'master' ? role[2] : []
  const count = Array.isArray(replicas) ? replicas.length : 0
  if (count < named) return
  throw refusal(
    `${quote(server)} has ${count} replicas, which are not all named`,
    'Name every server: users are not replicated.',
  )
}

/** Has the users outlive a restart. */
async function persist(session: Session, server: string): Promise<void> {
  const inFile = await session.command('ACL', 'SAVE').catch((error: unknown) => error)
  if (!(inFile instanceof SottoError)) return
  if (inFile.code !== 'rotation_refused' || !/ACL file/i.test(inFile.message)) throw inFile
  await session.command('CONFIG', 'REWRITE').catch((error: unknown) => {
    if (!(error instanceof SottoError) || error.code !== 'rotation_refused') throw error
    throw refusal(
      `The users of ${quote(server)} would not outlive a restart: ${error.message}`,
      'Give it an aclfile, or a configuration file that it may write.',
    )
  })
}

/** A list of names and values as a map. */
function fieldsOf(answer: Answer): ReadonlyMap<string, Answer> | undefined {
  if (!Array.isArray(answer)) return undefined
  const pairs = answer.flatMap((name, at): [string, Answer][] =>
    at % 2 === 0 && typeof name === 'string' ? [[name, answer[at + 1] ?? null]] : [],
  )
  return new Map(pairs)
}

function textsIn(answer: Answer | undefined): string[] {
  return Array.isArray(answer) ? answer.filter((each) => typeof each === 'string') : []
}

function refusal(message: string, hint: string): SottoError {
  return new SottoError('rotation_refused', message, { hint })
}
