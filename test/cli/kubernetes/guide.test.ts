/** What docs/guides/kubernetes-secrets.md and docs/deploy say of the controller is what there is. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { controllerMetrics } from '../../../cli/handlers/kubernetes/metrics.ts'
import { readPolicy } from '../../../cli/handlers/kubernetes/policy.ts'
import { Registry } from '../../../server/metrics/registry.ts'
import { matches } from '../../../server/access.ts'
import { blockOf } from '../../support/guide-blocks.ts'

const guide = readFileSync('docs/guides/kubernetes-secrets.md', 'utf8')
const deployed = (name: string): unknown[] =>
  parseAllDocuments(readFileSync(`docs/deploy/kubernetes-secrets/${name}`, 'utf8')).map(
    (document): unknown => document.toJS(),
  )

test('the table of metrics is what a controller has', () => {
  const registry = new Registry()
  controllerMetrics(registry)
  const rows = registry.heads.map(({ name, type, labels, help }) => {
    const named = Object.keys(labels).join(',')
    return `| \`${name}${named && `{${named}}`}\` | ${type} | ${help} |`
  })
  const [, shown = ''] = /<!-- metrics -->\n((?:\|.*\n)+)/.exec(guide) ?? []
  expect(shown.trim().split('\n').slice(2)).toEqual(rows)
})

test('the policy allows what the grant does, and the manifests ask for', () => {
  const policy = readPolicy(blockOf(guide, 'policy'), 'policy.yaml')
  const grant = JSON.parse(blockOf(guide, 'grant')) as {
    app: Record<string, readonly { readonly secret: readonly string[] }[]>
  }
  const granted = Object.values(grant.app).flatMap((rules) => rules.flatMap(({ secret }) => secret))
  const paths = [...blockOf(guide, 'manifests').matchAll(/path: ([^,}]+)/g)].map(([, path]) => path)
  expect(paths).toEqual(['prod/payments/db', 'prod/payments/db', 'prod/shared/ca'])
  for (const path of paths as string[]) {
    expect(policy.allows('payments', policy.nameAt(path))).toBe(true)
    expect(granted.some((pattern) => matches(pattern, path))).toBe(true)
    expect(policy.allows('elsewhere', path)).toBe(false)
  }
})

test('S3-13: the roles can list and watch definitions, and no Secret', () => {
  const rules = deployed('rbac.yaml').flatMap(
    (each) => (each as { rules?: { resources: string[]; verbs: string[] }[] } | null)?.rules ?? [],
  )
  const verbsOn = (resource: string): string[] =>
    rules.filter(({ resources }) => resources.includes(resource)).flatMap(({ verbs }) => verbs)
  expect(verbsOn('secrets').toSorted()).toEqual(['create', 'delete', 'get', 'patch'])
  expect(verbsOn('secretdefinitions')).toContain('watch')
  for (const { verbs, resources } of rules) expect([...verbs, ...resources]).not.toContain('*')
})

test('the deployed policy is one, and gives each namespace its own', () => {
  const [map] = deployed('controller.yaml') as { data: Record<string, string> }[]
  const policy = readPolicy(map?.data['policy.yaml'] ?? '', 'policy.yaml')
  expect(policy.allows('team', 'team/key')).toBe(true)
  expect(policy.allows('team', 'other/key')).toBe(false)
})
