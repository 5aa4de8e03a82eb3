/** The manifests of docs/deploy/kubernetes and their page say what the program, the image and each other say. */
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { imageRun } from '../.ci/image/image.ts'
import { readServerConfig } from '../server/config/config.ts'
import { version } from '../server/platform/version.ts'
import { container, manifests, serveConfig, settings } from './support/manifests.ts'

const read = (name: string): string =>
  readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8')
const server = container(manifests.StatefulSet, 'sotto')
const sidecar = container(manifests.StatefulSet, 'tailscale')
const init = container(manifests.Job, 'init')
const ofSidecar = new Map(sidecar.env?.map(({ name, value }) => [name, value]))

test('run the image of this release, and the tailscaled of the compose file', () => {
  for (const { image } of [server, init])
    expect(image).toBe(`registry.example.com/sotto:${version}`)
  expect(read('deploy/compose.yaml')).toContain(`image: ${sidecar.image}\n`)
})

test('run everything as the user of the image', () => {
  for (const { spec } of Object.values(manifests)) {
    const { runAsUser, fsGroup } = spec.template.spec.securityContext
    expect(`${runAsUser}:${fsGroup}`).toBe(imageRun.User)
  }
})

test('give Sotto no rights, and the sidecar one', () => {
  for (const { securityContext } of [server, init]) {
    expect(securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
  }
  expect(sidecar.securityContext).toMatchObject({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], add: ['DAC_OVERRIDE'] },
  })
  for (const { spec } of Object.values(manifests)) {
    expect(spec.template.spec.securityContext).toMatchObject({
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
    })
  }
})

test('make a store in the Job alone: a store that is gone is never replaced', () => {
  expect(init.args).toEqual(['init'])
  expect(server.args).toEqual(['server'])
  const { containers, initContainers = [] } = manifests.StatefulSet.spec.template.spec
  expect([...containers, ...initContainers].map(({ name }) => name)).toEqual(['sotto', 'tailscale'])
})

test('start a server behind the sidecar, whose sockets they agree on', () => {
  expect(readServerConfig([], settings)).toMatchObject({
    dev: false,
    door: { kind: 'socket', path: settings['SOTTO_SERVE_SOCKET'] },
    tailscaled: { socket: ofSidecar.get('TS_SOCKET'), userspace: false },
  })
  const { TCP, Web } = JSON.parse(serveConfig) as {
    TCP: Record<string, object>
    Web: Record<string, { Handlers: Record<string, { Proxy: string }> }>
  }
  expect(TCP).toEqual({ 443: { HTTPS: true } })
  expect(Web).toEqual({
    '${TS_CERT_DOMAIN}:443': {
      Handlers: { '/': { Proxy: `unix:${settings['SOTTO_SERVE_SOCKET']}` } },
    },
  })
})

test('have both sockets in one volume, and the store where the sidecar does not reach', () => {
  const placeOf = (path: string): string =>
    server.volumeMounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`))?.subPath ?? ''
  const sockets = [settings['SOTTO_TAILSCALED_SOCKET'], settings['SOTTO_SERVE_SOCKET']]
  const [place, ...others] = new Set(sockets.map((path = '') => placeOf(path)))
  expect(others).toEqual([])
  expect(sidecar.volumeMounts.flatMap(({ subPath }) => subPath ?? [])).toEqual([place])
  expect(placeOf(settings['SOTTO_STATE_DIR'] ?? '')).not.toBe(place)
  // The folder of Sotto's socket is its own, and not that of tailscaled's.
  expect(new Set(sockets.map((path = '') => dirname(path))).size).toBe(2)
})

test('give the server longer to stop than it takes', () => {
  expect(manifests.StatefulSet.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(10)
})

test('have a name and a tag that the page and its grant have', () => {
  const page = read('guides/kubernetes.md')
  const [, tag] = /^--advertise-tags=(\S+)$/.exec(ofSidecar.get('TS_EXTRA_ARGS') ?? '') ?? []
  expect(page).toContain(`\`${tag}\``)
  expect(page).toContain('[A grant](policy.md#programs-read-what-is-theirs)')
  expect(read('guides/policy.md')).toContain(`"dst": ["${tag}"]`)
  expect(page).toContain(`https://${ofSidecar.get('TS_HOSTNAME')}.`)
  const files = [...page.matchAll(/kubectl apply -f (\S+)/g)].map(([, file]) => file)
  expect(files).toEqual(['namespace.yaml', 'settings.yaml', 'init.yaml', 'sotto.yaml'])
})
