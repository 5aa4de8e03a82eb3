/** The flags of secrets-manager, which are refused with what is in their place. */
import { expect, test } from 'vitest'
import { kubernetesCommands } from '../../../cli/commands/kubernetes.ts'
import { runSotto } from '../../support/sotto.ts'

/** Those of its README. */
const theirs =
  `backend enable-debug-log enable-leader-election reconcile-period config.backend-timeout metrics-addr
controller-name watch-namespaces exclude-namespaces azure-kv.name azure-kv.tenant-id azure-kv.client-id
azure-kv.client-secret azure-kv.managed-client-id azure-kv.managed-resource-id vault.url vault.role-id vault.secret-id
vault.engine vault.auth-method vault.approle-path vault.kubernetes-path vault.kubernetes-role vault.max-token-ttl
vault.token-polling-period vault.renew-ttl-increment`.split(/\s+/)

const [command] = kubernetesCommands

test('S3-8 to S3-12: there is advice for each, and none of them is a flag', () => {
  expect(Object.keys(command?.instead ?? {}).toSorted()).toEqual(theirs.toSorted())
  for (const name of theirs) expect(command?.flags).not.toHaveProperty([name])
})

test('S3-10: a flag of a login is refused, and what is given with it is not repeated', async () => {
  const { code, stderr } = await runSotto(['kubernetes', '--vault.secret-id=s3cr3t'])
  expect(code).toBe(1)
  expect(stderr).toContain('--vault.secret-id')
  expect(stderr).toContain('the network says who is calling'.slice(4))
  expect(stderr).not.toContain('s3cr3t')
})

test('without a policy, and outside of a cluster, it says what to give', async () => {
  const none = await runSotto(['kubernetes', '-s', 'http://127.0.0.1:9'])
  expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('--policy') })
})
