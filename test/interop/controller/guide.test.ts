/** docs/guides/kubernetes-secrets.md and docs/deploy/kubernetes-secrets on a real API server. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { pathOf } from '../../support/cluster.ts'
import { blockOf } from '../../support/guide-blocks.ts'
import { describeWith } from '../../support/peers.ts'
import { type Json, startWorld, type World } from './fixture.ts'

const guide = readFileSync('docs/guides/kubernetes-secrets.md', 'utf8')

describeWith(['cluster'], 'the guide', () => {
  let world: World

  beforeAll(async () => {
    world = await startWorld()
    await world.namespace('payments')
  })

  afterAll(() => world?.[Symbol.asyncDispose]())

  test('the API server takes the manifests of docs/deploy, and each field of them', async () => {
    const text = readFileSync('docs/deploy/kubernetes-secrets/controller.yaml', 'utf8')
    await world.cluster.apply(text)
    const path = pathOf('Deployment', 'sotto-kubernetes', 'sotto-kubernetes')
    const { spec } = await world.cluster.must('GET', path)
    expect(spec.template.spec.containers[0].args[0]).toBe('kubernetes')
  })

  test('S3-14: who may edit or view a namespace may do so with its definitions', async () => {
    const rules = async (name: string): Promise<string> =>
      JSON.stringify(
        (await world.cluster.must('GET', pathOf('ClusterRole', undefined, name))).rules,
      )
    // The controller that adds roles up is not here: the labels are what it goes by.
    for (const role of ['edit', 'view']) {
      const name = `sotto-secretdefinitions-${role}`
      const { metadata } = await world.cluster.must('GET', pathOf('ClusterRole', undefined, name))
      const label = `rbac.authorization.k8s.io/aggregate-to-${role}`
      expect(metadata.labels[label]).toBe('true')
      expect(await rules(name)).toContain('secretdefinitions')
    }
  })

  test('the definition becomes a Secret, by the policy', async () => {
    await world.put('prod/payments/db', '{"username":"app","password":"s"}')
    await world.put('prod/shared/ca', 'certificate')
    await world.controller({ policy: parse(blockOf(guide, 'policy')) as object })
    await world.cluster.apply(blockOf(guide, 'manifests'))
    const { status } = await world.reason('database', 'Synced', 'payments')
    expect(await world.secret('database', 'payments')).toEqual({
      username: 'app',
      password: 's',
      'ca.pem': 'certificate',
    })
    expect(status.keys.map(({ key }: Json) => key)).toEqual(['ca.pem', 'password', 'username'])
  })

  test('every reason that the guide explains is one, and every one is explained', async () => {
    const { reasons } = await import('../../../cli/handlers/kubernetes/metrics.ts')
    const [, table = ''] = /\| Reason .*\n((?:\|.*\n)+)/.exec(guide) ?? []
    const explained = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, reason]) => reason)
    expect(explained).toEqual(reasons)
  })
})
