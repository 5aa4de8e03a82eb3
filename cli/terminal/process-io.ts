/** The streams of this process, as the commands use them. */
import { fstatSync, writeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { type StopSignal, stopSignals } from './interrupted.ts'
import type { Io, Output } from './io.ts'
import { within } from './layout.ts'
import { shown } from './text.ts'

/** Stdin, stdout and stderr of this process, and the system's clock. */
export function processIo(): Io {
  return {
    stdin: { isTTY: isatty(0), chunks: () => process.stdin },
    stdout: outputTo(1, () => process.stdout),
    stderr: outputTo(2, () => process.stderr),
    now: () => Date.now(),
    onInterrupt: (act) => {
      for (const signal of interrupts) process.on(signal, act)
      const stop = () => interrupts.forEach((signal) => process.off(signal, act))
      return { [Symbol.dispose]: stop }
    },
  }
}

const interrupts = Object.keys(stopSignals) as StopSignal[]

function outputTo(fd: number, stream: () => NodeJS.WriteStream): Output {
  const isTTY = isatty(fd)
  return {
    isTTY,
    get columns() {
      // The stream itself is made only for what is written to it.
      return isTTY ? stream().columns || undefined : undefined
    },
    write: async (data, { raw = false } = {}) => {
      if (isFile(fd)) return writeWhole(fd, Buffer.from(data))
      if (!isTTY || raw) return writeStream(stream(), data)
      // Words are for a person, and only a program could tell where a line of data was broken.
      const room = fd === 2 ? stream().columns : 0
      await writeStream(stream(), room ? within(shown(data), room) : shown(data))
    },
  }
}

function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile()
  } catch {
    return false
  }
}

/**
 * On a disk that is nearly full the system takes a part and says how much. Node's own stream for
 * files does not look at that number, and would report half a secret as a success.
 */
function writeWhole(fd: number, bytes: Uint8Array): void {
  let done = 0
  while (done < bytes.length) done += writeSync(fd, bytes, done)
}

const watched = new WeakSet<NodeJS.WriteStream>()

function writeStream(stream: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    // A failed write goes to its callback and also as an event, which would end the process.
    // Others listen too, such as a worker's pipe, and leave the end of the process to the last one.
    if (!watched.has(stream)) stream.on('error', () => {})
    watched.add(stream)
    stream.write(data, (error) => (error ? reject(error) : resolve()))
  })
}
