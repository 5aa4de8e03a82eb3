/** Runs the command line inside a process, which need not be one of the test runner. */
import { isUtf8 } from 'node:buffer'
import type { Io, Output } from '../../cli/terminal/io.ts'
import { run } from '../../cli/run.ts'
import type { Answered } from './play.ts'

/** Runs the command line inside this process: the same code over the same sockets, without a start-up each. */
export async function inProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input: Uint8Array = new Uint8Array(0),
  now: () => number = Date.now,
): Promise<Answered> {
  const stdout = collector()
  const stderr = collector()
  const io: Io = {
    stdin: {
      isTTY: false,
      chunks: async function* chunks() {
        yield input
      },
    },
    stdout,
    stderr,
    now,
    onInterrupt: () => ({ [Symbol.dispose]: () => {} }),
  }
  const exit = String(await run(args, io, env))
  return { stdout: stdout.text(), stderr: stderr.text(), exit }
}

function collector(): Output & { text(): string } {
  const parts: Buffer[] = []
  return {
    isTTY: false,
    write: async (data) => void parts.push(Buffer.from(data as string)),
    text: () => {
      const all = Buffer.concat(parts)
      return all.toString(isUtf8(all) ? 'utf8' : 'hex')
    },
  }
}
