/** Runs the server package of setec on loopback: the reference that Sotto is compared with. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { requirePeer } from '../support/peers.ts'
import { TestProcess } from '../support/process.ts'

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
  const setecd = new TestProcess(requirePeer('setecd'), args)
  const [, port] = await setecd.line(/^listening on http:\/\/127\.0\.0\.1:(\d+)$/)
  return {
    url: `http://127.0.0.1:${port}`,
    port: Number(port),
    stop: async () => void (await setecd.stop()),
  }
}
