/** What the AWS SDK finds in the environment while a test runs: credentials of nobody, and nothing of this machine. */
import { vi } from 'vitest'

export const awsVariables = {
  AWS_ACCESS_KEY_ID: 'AKIDTESTS',
  AWS_SECRET_ACCESS_KEY: 'a-secret-access-key',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
} as const

/** Sets them, and `more`. The test ends with `vi.unstubAllEnvs()`. */
export function stubAwsVariables(more: Readonly<Record<string, string>> = {}): void {
  for (const [name, value] of Object.entries({ ...awsVariables, ...more })) vi.stubEnv(name, value)
}
