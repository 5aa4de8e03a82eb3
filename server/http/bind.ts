/** Takes the places to listen at: addresses, never wildcards, and unix sockets that are ours alone. */
import { once } from 'node:events'
import { chmodSync, mkdirSync, statSync, unlinkSync } from 'node:fs'
import { connect, type AddressInfo, type Server } from 'node:net'
import { dirname } from 'node:path'
import { quote, SottoError } from '../../client/api/errors.ts'
import { refuseForeign } from '../../client/platform/owned.ts'
import {
  accessFault,
  errorCode,
  reasonOf,
  systemError,
} from '../../client/platform/system-error.ts'

/** Where to listen. */
export interface Address {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

/** The lowest port that every user may listen on, unless the system is configured otherwise. */
const FIRST_OPEN_PORT = 1024

/**
 * Has `server` listen on `address`, and resolves with the port. Rejects with `unsafe` for a wildcard,
 * and with `local` when the system refuses.
 */
export async function bind(server: Server, address: Address): Promise<number> {
  refuseWildcard(address.host, 'listen')
  server.listen(address)
  try {
    await once(server, 'listening')
  } catch (cause) {
    const code = errorCode(cause) ?? ''
    const message = `Cannot listen on ${addressText(address)}: ${reasonOf(cause)}`
    throw new SottoError('local', message, {
      cause,
      hint: hintFor(code, address.port),
    })
  }
  return (server.address() as AddressInfo).port
}

/**
 * Has `server` listen on a unix socket whose directory only we and root can enter; the
 * directory is made if it is missing. A socket that nothing listens on any more is replaced. Rejects
 * with `unsafe` when others could reach it, and with `local` when the system refuses.
 */
export async function bindUnix(server: Server, path: string): Promise<void> {
  const directory = dirname(path)
  try {
    refuseReachable(path)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    refuseShared(directory)
    if (await isLeftOver(path)) unlinkSync(path)
    server.listen({ path })
    await once(server, 'listening')
    chmodSync(path, 0o600)
  } catch (cause) {
    if (cause instanceof SottoError) throw cause
    const hint = 'Give a path in a directory that the user of the server can write to.'
    throw systemError(cause, 'listen on', path, errorCode(cause) === 'EADDRINUSE' ? {} : { hint })
  }
}

/** `HOST:PORT`, with brackets where the host has colons. */
export function addressText({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Throws `unsafe` for an address, of `--flag`, that means all addresses of the machine. */
export function refuseWildcard(host: string, flag: string): void {
  if (!/^(?:[0.]+|[0:]+|::ffff:[0.:]+|\*)$/i.test(host)) return
  throw new SottoError(
    'unsafe',
    `Cannot use ${quote(host)} as --${flag}: it means every address of this machine`,
    {
      hint: 'Callers are known by their tailnet addresses alone, so those are listened on: give a port alone, such as :443.',
    },
  )
}

/** Why `bindUnix` would reject at `path`, where no server of ours listens; undefined where it would not. Changes nothing. */
export async function unixFault(path: string): Promise<Error | undefined> {
  let directory = dirname(path)
  try {
    refuseReachable(path)
    while (!statSync(directory, { throwIfNoEntry: false })) directory = dirname(directory)
    const fault = accessFault(directory, true)
    if (fault) throw fault
    if (statSync(path, { throwIfNoEntry: false }) && !(await isLeftOver(path)))
      throw systemFault('EADDRINUSE')
    return undefined
  } catch (error) {
    return error instanceof SottoError ? error : systemError(error, 'listen on', path)
  }
}

/** Throws `unsafe` where others could reach a socket at `path`, and the system's error where its folder is none. */
function refuseReachable(path: string): void {
  const directory = dirname(path)
  refuseForeign(directory, `a socket in ${quote(directory)}`)
  const found = statSync(directory, { throwIfNoEntry: false })
  if (found && !found.isDirectory()) throw systemFault('ENOTDIR')
  if (found) refuseShared(directory)
}

/** What the system would say. */
function systemFault(code: string): Error {
  return Object.assign(new Error(code), { code })
}

function refuseShared(directory: string): void {
  const { uid, mode } = statSync(directory)
  if (uid === process.getuid?.() && (mode & 0o077) === 0) return
  const shown = (mode & 0o777).toString(8).padStart(4, '0')
  throw new SottoError(
    'unsafe',
    `Others could reach a socket in ${quote(directory)}: it has mode ${shown} and belongs to user ${uid}`,
    { hint: 'Give a path in a directory of the user of the server with mode 0700.' },
  )
}

/** Whether there is a socket that no process listens on. */
async function isLeftOver(path: string): Promise<boolean> {
  if (!statSync(path, { throwIfNoEntry: false })?.isSocket()) return false
  const socket = connect({ path })
  try {
    await once(socket, 'connect')
    return false
  } catch (error) {
    return errorCode(error) === 'ECONNREFUSED'
  } finally {
    socket.destroy()
  }
}

function hintFor(code: string, port: number): string {
  if (code === 'EACCES' && port < FIRST_OPEN_PORT) {
    return `A port below ${FIRST_OPEN_PORT} needs the capability CAP_NET_BIND_SERVICE, as the systemd unit gives it; or choose another with --listen.`
  }
  if (code === 'EADDRNOTAVAIL') return 'The address is not one of this machine: is tailscaled up?'
  return 'Another program may use the port: give another one, or 0 for any, with --listen.'
}
