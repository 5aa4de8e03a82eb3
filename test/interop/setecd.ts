/** Runs the server package of setec on loopback: the reference that Sotto is compared with. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { requirePeer } from '../support/peers.ts'

/** A running reference server. */
export interface Reference {
  readonly url: string
  readonly port: number
  /** Ends it; resolves when it is gone. */
  stop(): Promise<void>
}

/**
 * Starts setecd on a free port, with its state under `directory` and the callers of `tailnet`, a
 * file as `sotto server --dev --tailnet` takes it.
 */
export async function startSetecd(directory: string, tailnet: string): Promise<Reference> {
  // Its key goes with the process, so that no two can share their state.
  const args = ['-dir', mkdtempSync(join(directory, 'setecd-')), '-tailnet', tailnet]
  const child = spawn(requirePeer('setecd'), args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  const first = once(lines, 'line').then(([line]) => line as string)
  const line = await Promise.race([first, exited.then(() => '')])
  const port = Number(/^listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(line)?.[1])
  if (!port) throw new Error(`setecd did not start: ${line}\n${stderr}`)
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    stop: async () => {
      child.kill('SIGTERM')
      await exited
    },
  }
}
