/** Makes every test vector anew, each room's by its own program: `npm run vectors`. */
import { execFileSync } from 'node:child_process'

for (const room of ['audit', 'backup', 'crypto']) {
  const program = new URL(`${room}/generate.ts`, import.meta.url).pathname
  execFileSync(process.execPath, [program], { stdio: 'inherit' })
}
