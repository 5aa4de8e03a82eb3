/** The commands of operators: every command of the table but those of every day. */
import type { Command } from '../command.ts'
import { auditCommands } from './audit.ts'
import { backendCommands } from './backends.ts'
import { backupCommands } from './backups.ts'
import { importCommands } from './import.ts'
import { jobCommands } from './jobs.ts'
import { keyCommands } from './keys.ts'

export const operatorCommands: readonly Command[] = [
  ...importCommands,
  ...auditCommands,
  ...keyCommands,
  ...jobCommands,
  ...backupCommands,
  ...backendCommands,
]
