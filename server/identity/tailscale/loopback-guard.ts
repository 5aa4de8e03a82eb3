/**
 * In userspace mode tailscaled hands its peers over from 127.0.0.1, and knows who they are by their
 * source port alone. Another program can call from that port while tailscaled uses it towards
 * somewhere else, so that the other end of the connection has to be found, and to be tailscaled's.
 */
import { readFile, stat } from 'node:fs/promises'
import { endianness } from 'node:os'
import type { TcpPeer } from '../identity.ts'

/** The ports of a connection between 127.0.0.1 and itself, seen from the server's end. */
export type LoopbackPorts = Pick<TcpPeer, 'remotePort' | 'localPort'>

const TABLE = '/proc/net/tcp'
const ESTABLISHED = '01'
/** The user that a user namespace shows in place of every user that it does not have. */
const NOBODY_KNOWN = 65_534
const LOCALHOST = endianness() === 'LE' ? '0100007F' : '7F000001'

/**
 * Resolves when the other end of the connection belongs to the user that owns the socket
 * `socketPath`, which is who runs tailscaled. Rejects with a plain Error with the reason otherwise.
 */
export async function refuseImpostor(
  socketPath: string,
  ports: LoopbackPorts,
  table: string = TABLE,
): Promise<void> {
  const [{ uid: daemon }, text] = await Promise.all([stat(socketPath), readFile(table, 'latin1')])
  const owner = ownerOf(text, ports)
  if (owner === undefined) throw new Error('the other end of its connection is gone')
  if (owner !== daemon || owner === NOBODY_KNOWN) {
    throw new Error(`the other end of its connection is a program of user ${owner}, not tailscaled`)
  }
}

/** The user who has the other end of the connection, established; undefined when no user has. */
function ownerOf(text: string, { remotePort, localPort }: LoopbackPorts): number | undefined {
  const [far, near] = [remotePort, localPort].map((port) => `${LOCALHOST}:${hex(port)}`)
  for (const line of text.split('\n')) {
    const [, local, remote, state, , , , uid] = line.trim().split(/\s+/)
    if (local === far && remote === near && state === ESTABLISHED) return Number(uid)
  }
  return undefined
}

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}
