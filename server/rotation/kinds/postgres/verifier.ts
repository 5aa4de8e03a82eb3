/**
 * What PostgreSQL keeps of a password, computed here: the password itself then stands in no statement, so that no log,
 * no list of activity and no extension over there ever sees it.
 */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

/** As many as PostgreSQL takes by itself. */
const ITERATIONS = 4096

/** The verifier of SCRAM-SHA-256 for `password`, which is ASCII: other characters would need SASLprep first. */
export async function verifierOf(
  password: string,
  salt: Uint8Array = randomBytes(16),
): Promise<string> {
  const salted = await promisify(pbkdf2)(password, salt, ITERATIONS, 32, 'sha256')
  const key = (name: string): Buffer => createHmac('sha256', salted).update(name).digest()
  const stored = createHash('sha256').update(key('Client Key')).digest('base64')
  const server = key('Server Key').toString('base64')
  const text = Buffer.from(salt).toString('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${text}$${stored}:${server}`
}
