/**
 * The operators' socket: root and the server's own user, on its host, are let in without a tailnet. Node does not
 * show whose process is on the other end of a unix socket, so the process makes a file with a name that the
 * server has just given to it, in a directory of the server's, and the owner of that file is who calls.
 */
import { chmodSync, lstatSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs'
import type { Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { SottoError } from '../../client/api/errors.ts'
import type { Action } from '../../client/api/types.ts'
import type { Caller } from '../access.ts'
import { nextRequestId } from '../platform/request-id.ts'
import { processTimers, type Timers } from '../../client/platform/timers.ts'
import type { AnyPeer, Identity, OperatorPeer } from './identity.ts'

/** Connections that may be proving who they are at once, and how long one may take, in milliseconds. */
const MAX_PROVING = 16
const PROOF_MS = 5000
/** `ready`, and after a space who `sudo` says had it run. */
const ready = /^ready(?: ([\w.@-]{1,64}))?\n$/
const MAX_READY_BYTES = 80

/** What operators of the host may do: nothing that gives or changes values, or decides where they are kept. */
const granted: readonly Action[] = [
  'audit',
  'backup',
  'keys',
  'metrics',
  'mirror',
  'migrate',
  'backends:view',
  'info',
]
const rules = [{ action: granted, secret: ['*'] }]

/** Lets operators prove who they are. */
export class Operators {
  /** Where they make their files. */
  readonly #directory: string
  readonly #timers: Timers
  #proving = 0

  /** Makes `directory`, or removes what can be of files that were left there. Throws the system's error. */
  constructor(directory: string, timers: Timers = processTimers) {
    this.#directory = directory
    this.#timers = timers
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    chmodSync(directory, 0o700)
    for (const name of readdirSync(directory)) {
      if (/^[\da-f]{24}$/.test(name)) this.#remove(name)
    }
  }

  /**
   * Resolves with who is on the other end of `socket`, which may then send requests. Rejects with `unidentified`
   * or `overloaded`, and then has said why to the other end and ended.
   */
  async prove(socket: Socket): Promise<OperatorPeer> {
    const name = nextRequestId()
    // Until HTTP is spoken nothing else hears of them, and the process would end.
    socket.on('error', () => socket.destroy())
    this.#proving++
    try {
      if (this.#proving > MAX_PROVING) {
        throw new SottoError('overloaded', 'Too many programs are proving at once who they are')
      }
      socket.write(`sotto ${name}\n`)
      const said = ready.exec(await this.#line(socket))
      if (!said) throw unproven('it did not say that it is ready')
      const peer = { uid: this.#ownerOf(name), claimed: said[1] }
      socket.write('welcome\n')
      return peer
    } catch (error) {
      const { message } = error as SottoError
      socket.end(`refused: ${message}\n`)
      this.#timers.after(PROOF_MS, () => socket.destroy())
      throw error
    } finally {
      this.#proving--
      this.#remove(name)
    }
  }

  /** The one line that the other end sends before it waits for an answer. */
  #line(socket: Socket): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = ''
      const end = (error?: SottoError): void => {
        cancel()
        socket.off('data', take).off('close', gone).off('end', gone)
        // Nothing of what comes next is lost.
        socket.pause()
        if (error) reject(error)
        else resolve(text)
      }
      const fail = (reason: string) => end(unproven(reason))
      const take = (bytes: Buffer): void => {
        text += bytes.toString('latin1')
        if (text.length > MAX_READY_BYTES) fail('it sent too much')
        else if (text.endsWith('\n')) end()
      }
      const gone = (): void => fail('it ended')
      const cancel = this.#timers.after(PROOF_MS, () => fail(`it took more than ${PROOF_MS} ms`))
      socket.on('data', take).once('close', gone).once('end', gone)
    })
  }

  /** Whose the file is. A link to one proves nothing: it could be another's. */
  #ownerOf(name: string): number {
    const found = lstatSync(join(this.#directory, name), { throwIfNoEntry: false })
    if (!found) throw unproven('it did not make the file that was asked for')
    if (!found.isFile() || found.nlink !== 1)
      throw unproven('what it made is not a file of its own')
    const { uid } = found
    if (uid !== 0 && uid !== process.getuid?.()) throw unproven(`it is of user ${uid}`)
    return uid
  }

  #remove(name: string): void {
    try {
      unlinkSync(join(this.#directory, name))
    } catch {
      // It made none, or a directory, which is in nobody's way.
    }
  }
}

/** Names operators of the host by what they proved, and asks `identity` for everybody else. */
export function withOperators(identity: Identity): Identity<AnyPeer> {
  return {
    identify: async (peer) => ('uid' in peer ? operatorOf(peer) : identity.identify(peer)),
    check: () => identity.check(),
    ...(identity.watch && { watch: identity.watch.bind(identity) }),
  }
}

function operatorOf({ uid, claimed }: OperatorPeer): Caller {
  const who = uid === 0 ? 'root' : `user ${uid}`
  const user = `operator:${who}${claimed === undefined ? '' : ` (sudo says for ${claimed})`}`
  return { principal: { hostname: hostname(), ip: '', user }, rules, onHost: true }
}

function unproven(reason: string): SottoError {
  return new SottoError('unidentified', `A program at the operators' socket was refused: ${reason}`)
}
