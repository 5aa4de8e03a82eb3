/** The commands for operators, loaded when one of them is asked for. */
import type { Command } from '../command.ts'
import { auditCommands } from './audit.ts'
import { backendCommands } from './backends.ts'
import { backupCommands } from './backups.ts'
import { branchCommands } from './branch.ts'
import { configCommands } from './config.ts'
import { exportCommands } from './export.ts'
import { importCommands } from './import.ts'
import { jobCommands } from './jobs.ts'
import { keyCommands } from './keys.ts'
import { kubernetesCommands } from './kubernetes.ts'
import { lintCommands } from './lint.ts'
import { migrationCommands } from './migration.ts'
import { mirrorCommands } from './mirrors.ts'
import { rolloutCommands } from './rollout.ts'
import { rotationCommands } from './rotations.ts'

export const operatorCommands: readonly Command[] = [
  ...configCommands,
  ...exportCommands,
  ...importCommands,
  ...lintCommands,
  ...rolloutCommands,
  ...auditCommands,
  ...keyCommands,
  ...jobCommands,
  ...backupCommands,
  ...branchCommands,
  ...rotationCommands,
  ...backendCommands,
  ...migrationCommands,
  ...mirrorCommands,
  ...kubernetesCommands,
]
