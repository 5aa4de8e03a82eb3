/** Proves to a server on this host who calls: see server/identity/operators.ts. */
import { closeSync, constants, existsSync, lstatSync, openSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { SottoError } from '../client/api/errors.ts'
import { systemError } from '../client/platform/system-error.ts'

/** Bytes that the server may say before it lets a program in. */
const MAX_WORD_BYTES = 1024

/**
 * A connection to the operators' socket at `path` whose server knows who we are. `sudoUser` is who `sudo` says had it
 * run. Rejects with `unidentified`, with `local`, or with the system's error.
 */
export async function proven(path: string, sudoUser: string | undefined): Promise<Socket> {
  // Who calls waits no longer than they say, and a server that never answers must not keep the process after that.
  const socket = connect({ path, allowHalfOpen: true }).unref()
  try {
    const name = /^sotto ([\da-f]{24})\n$/.exec(await word(socket))?.[1]
    if (name === undefined) throw refused('it does not speak as a Sotto server')
    makeFile(join(dirname(path), 'operators'), name)
    socket.write(/^[\w.@-]{1,64}$/.test(sudoUser ?? '') ? `ready ${sudoUser}\n` : 'ready\n')
    const answer = await word(socket)
    if (answer !== 'welcome\n') throw refused(answer.replace(/^refused: /, '').trim())
    return socket.ref()
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** What is there already is somebody else's. */
function makeFile(directory: string, name: string): void {
  try {
    const folder = openFolder(directory)
    try {
      const opened = `/proc/self/fd/${folder}`
      const file = join(existsSync(opened) ? opened : directory, name)
      writeFileSync(file, '', { flag: 'wx', mode: 0o600 })
    } finally {
      closeSync(folder)
    }
  } catch (cause) {
    const hint = 'Its owner is how the server knows who calls. Is there room on the disk?'
    throw systemError(cause, 'make a file in', directory, { hint })
  }
}

/** The folder beside the socket, not what a link leads to: the user of one server could have us prove to another who we are. */
function openFolder(path: string): number {
  if (lstatSync(path).isSymbolicLink()) throw refused('its folder for files is a link')
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}

/** What the server says next, to the end of a line. */
async function word(socket: Socket): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    const end = (): void => {
      socket.off('readable', take).off('error', reject).off('end', ended)
    }
    const ended = (): void => {
      end()
      reject(refused('it ended the connection'))
    }
    const take = (): void => {
      text += (socket.read() as Buffer | null)?.toString() ?? ''
      if (!text.endsWith('\n') && text.length <= MAX_WORD_BYTES) return
      end()
      resolve(text)
    }
    socket.on('readable', take).once('error', reject).once('end', ended)
  })
}

function refused(reason: string): SottoError {
  return new SottoError('unidentified', `The operators' socket let nobody in: ${reason}`)
}
