/** The commands for operators, loaded when one of them is asked for. */
import type { Command } from '../command.ts'
import { auditCommands } from './audit.ts'
import { backendCommands } from './backends.ts'
import { backupCommands } from './backups.ts'
import { importCommands } from './import.ts'
import { jobCommands } from './jobs.ts'
import { keyCommands } from './keys.ts'
import { migrationCommands } from './migration.ts'
import { mirrorCommands } from './mirrors.ts'

export const operatorCommands: readonly Command[] = [
  ...importCommands,
  ...auditCommands,
  ...keyCommands,
  ...jobCommands,
  ...backupCommands,
  ...backendCommands,
  ...migrationCommands,
  ...mirrorCommands,
]
