/**
 * The manifests of docs/deploy/kubernetes by Kubernetes' own types and rules, and by its profiles of pod security. What a node does
 * with them is in test/kubernetes.slow.test.ts.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { manifestsFolder } from '../support/manifests.ts'
import { describeWith, requirePeer } from '../support/peers.ts'
import { temporaryDirectory } from '../support/sotto.ts'

const scratch = temporaryDirectory()
afterAll(() => scratch[Symbol.dispose]())

describeWith(['kubernetes'], 'the manifests for Kubernetes', () => {
  test('are accepted, each resource', () => {
    const others = readdirSync(manifestsFolder).filter((name) => name !== 'namespace.yaml')
    const files = ['namespace.yaml', ...others].map((name) => join(manifestsFolder, name))
    const accepted = execFileSync(requirePeer('kubernetes'), files, { encoding: 'utf8' })
    expect(accepted.trim().split('\n').toSorted()).toEqual([
      'ConfigMap sotto',
      'ConfigMap sotto-serve',
      'Job sotto-init',
      'Namespace sotto',
      'PersistentVolumeClaim sotto-state',
      'Role sotto-tailscale',
      'RoleBinding sotto-tailscale',
      'Secret sotto-tailscale',
      'Service sotto',
      'ServiceAccount sotto',
      'StatefulSet sotto',
    ])
  })

  test('are refused where the namespace says no level', () => {
    const file = join(manifestsFolder, 'sotto.yaml')
    const { status, stderr } = spawnSync(requirePeer('kubernetes'), [file], { encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining('no level') })
  })

  test.each([
    [
      'a misspelt field',
      'sotto.yaml',
      ['readOnlyRootFilesystem:', 'readOnlyRootFileSystem:'],
      'unknown field "spec.template.spec.containers[0].securityContext.readOnlyRootFileSystem"',
    ],
    [
      'a field at the wrong place',
      'sotto.yaml',
      ['      serviceAccountName:', '      accessModes: []\n      serviceAccountName:'],
      'unknown field "spec.template.spec.accessModes"',
    ],
    [
      'a field that is there twice',
      'settings.yaml',
      ['  name: sotto-serve\n', '  name: sotto-serve\n  name: other\n'],
      '"name" already set',
    ],
    [
      'a quantity that is none',
      'sotto.yaml',
      ['memory: 512Mi', 'memory: 512Mb'],
      'quantities must match',
    ],
    [
      'a text where a number belongs',
      'init.yaml',
      ['backoffLimit: 0', 'backoffLimit: "0"'],
      'cannot unmarshal string',
    ],
    [
      'labels that the selector does not match',
      'sotto.yaml',
      [
        '      labels:\n        app.kubernetes.io/name: sotto',
        '      labels:\n        app.kubernetes.io/name: other',
      ],
      '`selector` does not match template `labels`',
    ],
    [
      'a mount of a volume that is not there',
      'sotto.yaml',
      [
        '- name: tailscale-tmp\n              mountPath',
        '- name: tailscale\n              mountPath',
      ],
      'initContainers[0].volumeMounts[3].name: Not found: "tailscale"',
    ],
    [
      'a policy that is none',
      'init.yaml',
      ['restartPolicy: Never', 'restartPolicy: Always'],
      'spec.template.spec.restartPolicy',
    ],
    [
      'a capability',
      'sotto.yaml',
      ['add: [DAC_OVERRIDE]', 'add: [NET_ADMIN]'],
      'container "tailscale" must not include "NET_ADMIN" in securityContext.capabilities.add',
    ],
    [
      'the network of the host',
      'init.yaml',
      ['      restartPolicy: Never', '      hostNetwork: true\n      restartPolicy: Never'],
      'host namespaces (hostNetwork=true)',
    ],
    [
      'another version of the API',
      'sotto.yaml',
      ['apps/v1', 'apps/v2'],
      'no kind "StatefulSet" is registered for version "apps/v2"',
    ],
  ] as const)('with %s are refused', (_, name, [text, instead], said) => {
    const given = readFileSync(join(manifestsFolder, name), 'utf8')
    expect(given).toContain(text)
    const file = join(scratch.path, name)
    writeFileSync(file, given.replaceAll(text, instead))
    const files = [join(manifestsFolder, 'namespace.yaml'), file]
    const { status, stderr } = spawnSync(requirePeer('kubernetes'), files, { encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining(said) })
  })
})
