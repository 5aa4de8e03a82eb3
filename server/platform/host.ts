/** Where a server runs: what tells a state directory from a copy of it. */
import { hash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'

const MACHINE_IDS = ['/etc/machine-id', '/var/lib/dbus/machine-id']

/**
 * Names the place of the state directory `path` on this machine; `node` is the StableID of the machine on its
 * tailnet, empty where it is not known. Reveals neither.
 */
export function hostOf(path: string, node: string): string {
  return [String(statSync(path).ino), named(machineId()), named(node)].join(' ')
}

/** Whether both name one place: the machine by its node where both know it. */
export function isSameHost(one: string, other: string): boolean {
  const [inode, machine, node = ''] = one.split(' ')
  const [otherInode, otherMachine, otherNode = ''] = other.split(' ')
  if (inode !== otherInode) return false
  return node !== '' && otherNode !== '' ? node === otherNode : machine === otherMachine
}

function machineId(): string {
  for (const path of MACHINE_IDS) {
    try {
      return readFileSync(path, 'utf8').trim()
    } catch {
      // The next one.
    }
  }
  return ''
}

function named(text: string): string {
  return text === '' ? '' : hash('sha256', `sotto host ${text}`).slice(0, 16)
}
