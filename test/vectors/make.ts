/** Writes every test vector again, always the same bytes: `npm run vectors`. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { auditVectorFiles } from './audit/log-files.ts'
import { backupVectorFiles } from './backup/backup-files.ts'
import { cryptoVectorFiles } from './crypto/crypto-files.ts'

const rooms = {
  audit: await auditVectorFiles(),
  backup: await backupVectorFiles(),
  crypto: cryptoVectorFiles(),
}

for (const [room, files] of Object.entries(rooms)) {
  const folder = join(import.meta.dirname, room)
  // All that is not a program, so that no file of a case that was removed stays.
  for (const { name } of readdirSync(folder, { withFileTypes: true })) {
    if (!name.endsWith('.ts')) rmSync(join(folder, name), { recursive: true })
  }
  for (const [file, text] of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
}
