/** The commands of the server's own machine, which read their own arguments. */
import type { RawCommand } from '../command.ts'
import { configShow } from './config.ts'

export const serverCommands: readonly RawCommand[] = [
  {
    name: 'server',
    summary: 'Run the server.',
    ownNotes: true,
    load: async () => (await import('../handlers/server.ts')).serve,
  },
  {
    name: 'init',
    summary: 'Make a new store.',
    load: async () => (await import('../handlers/server.ts')).init,
  },
  {
    name: 'doctor',
    summary: 'Check what a server on a tailnet needs, and say what to do.',
    load: async () => (await import('../handlers/doctor.ts')).doctor,
  },
  configShow,
]
