/** The way to the server of a state directory on this host, for operators. */
import { lstatSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { callbackify } from 'node:util'
import { quote } from '../client/api/errors.ts'
import type { Via } from '../client/connection.ts'
import { refuseUngiven } from '../client/platform/owned.ts'

/**
 * The operators' socket in the state directory; undefined where we see none. Throws `unsafe` where it could be somebody
 * else's, who would be sent what is meant for the server.
 */
export function operatorsSocket(stateDir: string): string | undefined {
  const path = join(stateDir, 'operator.sock')
  try {
    if (!lstatSync(path).isSocket()) return undefined
  } catch {
    // Nobody else can enter the directory.
    return undefined
  }
  refuseUngiven(stateDir, `the operators' socket in ${quote(stateDir)}`)
  return path
}

/** Reaches the server through `socket`. `sudoUser` is who `sudo` says had it run, for the audit log. */
export function viaOperators(socket: string, sudoUser: string | undefined): Via {
  // An import statement would load all of Node's HTTP, which few commands need.
  const { Agent } = process.getBuiltinModule('node:http')
  const agent = new Agent({ keepAlive: false })
  const connected = async (): Promise<Socket> => {
    const { proven } = await import('./operator-proof.ts')
    return proven(socket, sudoUser)
  }
  agent.createConnection = (_, done) => {
    callbackify(connected)(done ?? (() => {}))
    return undefined
  }
  return { agent, name: `the operators' socket ${socket}` }
}
