import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { refuseImpostor } from '../../server/identity/tailscale/loopback-guard.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const onLinux = process.platform === 'linux'

/** Lines as the kernel writes them; the owner is the eighth word. */
function table(...lines: string[]): string {
  const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid'
  return [head, ...lines, ''].join('\n')
}

function line(local: string, remote: string, state: string, uid: number): string {
  const rest = `00000000:00000000 00:00000000 00000000 ${uid} 0 638 1 0000000000000000 100 0 0 10 0`
  return `   0: 0100007F:${local} 0100007F:${remote} ${state} ${rest}`
}

test.runIf(onLinux)('userspace mode: a reused source port is told from tailscaled’s', async () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'tcp')
  const me = process.getuid?.() ?? 0
  const other = me + 1
  const ports = { remotePort: 0xc5d4, localPort: 0x20fb }
  const refused = (text: string): Promise<unknown> => {
    writeFileSync(file, text)
    // The directory belongs to us, as a socket of a tailscaled that we run would.
    return refuseImpostor(directory.path, ports, file).then(
      () => 'accepted',
      (error: Error) => error.message,
    )
  }
  // tailscaled holds the port towards another service, and another program towards us.
  const stolen = [line('C5D4', '08AE', '01', me), line('C5D4', '20FB', '01', other)]
  expect(await refused(table(...stolen))).toContain(`a program of user ${other}, not tailscaled`)
  expect(await refused(table(line('C5D4', '08AE', '01', me)))).toContain('is gone')
  // Our own end is not the other one, and what is closed has no owner.
  expect(await refused(table(line('20FB', 'C5D4', '01', me)))).toContain('is gone')
  expect(await refused(table(line('C5D4', '20FB', '06', me)))).toContain('is gone')
  expect(await refused('')).toContain('is gone')
  writeFileSync(file, table(line('C5D4', '08AE', '01', other), line('C5D4', '20FB', '01', me)))
  await refuseImpostor(directory.path, ports, file)
})

test.runIf(onLinux)('userspace mode: the kernel tells of real connections', async () => {
  using directory = temporaryDirectory()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [Socket]
  const ports = { remotePort: socket.remotePort ?? 0, localPort: socket.localPort ?? 0 }
  await refuseImpostor(directory.path, ports)
  await expect(refuseImpostor('/proc/version', { ...ports, localPort: 1 })).rejects.toThrow('gone')
  client.destroy()
  await once(socket.resume(), 'close')
  await expect(refuseImpostor(directory.path, ports)).rejects.toThrow('gone')
  server.close()
})
