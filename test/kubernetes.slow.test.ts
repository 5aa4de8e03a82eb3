/**
 * The manifests of docs/deploy/kubernetes as a node of a cluster would run them: the commands, settings and user that they
 * name, in volumes with the owners and modes that a kubelet gives them, at the paths that they are mounted at. The
 * sidecar is a stub of tailscaled; the schema is checked by test/interop/kubernetes.test.ts.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { afterEach, beforeEach, expect, type TestContext, test } from 'vitest'
import { imageRun } from '../.ci/image/image.ts'
import { container, manifests, settings } from './support/manifests.ts'
import { StubLocalApi } from './support/local-api.ts'
import { type Finished, TestProcess } from './support/process.ts'
import { recordsIn } from './support/service.ts'
import { cli, temporaryDirectory } from './support/sotto.ts'
import { needRoot } from './support/users.ts'

const { fsGroup, runAsUser } = manifests.StatefulSet.spec.template.spec.securityContext
const serverPod = container(manifests.StatefulSet, 'sotto')
const initPod = container(manifests.Job, 'init')

let localApi: StubLocalApi
let scratch: ReturnType<typeof temporaryDirectory>
/** The volume of the claim. */
let volume: string

beforeEach(async (context) => {
  needRoot(context)
  localApi = await StubLocalApi.start()
  // As that of tailscaled.
  chmodSync(localApi.path, 0o666)
  scratch = temporaryDirectory()
  chmodSync(scratch.path, 0o755)
  volume = folder('volume', 0o2775)
  // The folders of `subPath`, which a kubelet makes with the mode of the volume.
  for (const { subPath } of serverPod.volumeMounts) {
    if (subPath !== undefined) folder(join('volume', subPath), 0o2775)
  }
})

afterEach(async ({ task }: TestContext) => {
  if (task.result?.state === 'skip' || scratch === undefined) return
  await localApi[Symbol.asyncDispose]()
  scratch[Symbol.dispose]()
})

test('the store is made once; the server starts, answers its probes without a record, and stops in time', async () => {
  const made = await ended(pod(initPod))
  expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^root [0-9a-f]{32}$/m) })
  const again = await ended(pod(initPod))
  expect(again).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('A store is never replaced'),
  })

  for (const round of [1, 2]) {
    const server = pod(serverPod)
    expect(await server.firstLine(), `${round}`).toMatch(/^listening on /)
    const records = recordsIn(join(volume, 'data/state/audit'))
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'] as const) {
      const { exec } = serverPod[probe] ?? {}
      expect(await inside(server, exec?.command ?? [])).toMatchObject({ code: 0, stderr: '' })
    }
    expect(recordsIn(join(volume, 'data/state/audit'))).toEqual(records)
    const began = performance.now()
    expect(await server.stop()).toBe(0)
    const grace = manifests.StatefulSet.spec.template.spec.terminationGracePeriodSeconds
    expect(performance.now() - began).toBeLessThan(grace * 1000)
  }
})

test('the commands of docs/guides/kubernetes.md for the pod do what they say; a backup comes back in an empty volume', async () => {
  const page = readFileSync(new URL('../docs/guides/kubernetes.md', import.meta.url), 'utf8')
  const [, added = ''] = /kubectl exec --namespace=sotto sotto-0 -- (.*)$/m.exec(page) ?? []
  const [, restored = ''] = /^`\[(restore, .*)\]`/m.exec(page) ?? []
  const { stdout } = await ended(pod(initPod))
  const [, root = ''] = /^root (\w+)$/m.exec(stdout) ?? []

  mkdirSync(join(volume, 'data/backups'), { mode: 0o700 })
  chownSync(join(volume, 'data/backups'), runAsUser, fsGroup)
  const server = pod(serverPod, backups)
  await server.firstLine()
  const recipient = await identityToRecipient(await generateX25519Identity())
  const words = added.replace('age1YOURS', recipient).split(' ')
  expect(await inside(server, words)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Added recovery key'),
  })
  expect(await inside(server, ['sotto', 'backup', 'create'])).toMatchObject({ code: 0, stderr: '' })
  expect(await server.stop()).toBe(0)

  // The key stays: here it is a file, and where it is in KMS it is not in the volume at all.
  const key = join(volume, 'data/local.key')
  renameSync(join(volume, 'data/state/local.key'), key)
  rmSync(join(volume, 'data/state'), { recursive: true })
  const args = restored.replace('ROOT', root).split(', ')
  const env = { ...backups, SOTTO_KEY_FILE: '/var/lib/sotto/local.key' }
  expect(await ended(pod({ ...initPod, args }, env))).toMatchObject({ code: 0 })
  const again = pod(serverPod, env)
  expect(await again.firstLine()).toMatch(/^listening on /)
  expect(await again.stop()).toBe(0)
})

test('a probe fails when no server answers', async () => {
  await ended(pod(initPod))
  const { exec } = serverPod.livenessProbe ?? {}
  expect(await ended(pod({ ...serverPod, args: exec?.command.slice(1) ?? [] }))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('No server address is set'),
  })
})

test('a server without its store starts no empty one', async () => {
  const { code, stderr } = await ended(pod(serverPod))
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringContaining('There is no state directory'),
  })
  expect(readdirSync(join(volume, 'data'))).toEqual([])
})

test('without fsGroupChangePolicy the kubelet would open the state to the group, and the server refuse it', async () => {
  await ended(pod(initPod))
  const policy = (each: 'StatefulSet' | 'Job'): string | undefined =>
    manifests[each].spec.template.spec.securityContext.fsGroupChangePolicy
  expect([policy('StatefulSet'), policy('Job')]).toEqual(['OnRootMismatch', 'OnRootMismatch'])
  execFileSync(
    'sh',
    ['-c', `chgrp -R ${fsGroup} . && chmod -R ug+rwX . && find . -type d -exec chmod g+s {} +`],
    {
      cwd: volume,
    },
  )
  expect(await ended(pod(serverPod))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('others can write to "/var/lib/sotto/state"'),
  })
})

test('an emptyDir would be no place for the sockets: everybody may write there', async () => {
  await ended(pod(initPod))
  chmodSync(join(volume, 'run'), 0o2777)
  expect(await ended(pod(serverPod))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('others can write to "/run/sotto"'),
  })
})

/** Starts a container of a pod, with its volumes at their places and the stub's socket where the sidecar makes its own. */
function pod(
  { args, volumeMounts }: Pick<typeof serverPod, 'args' | 'volumeMounts'>,
  more: Readonly<Record<string, string>> = {},
): TestProcess {
  const mounts = volumeMounts.flatMap(({ mountPath, subPath }) =>
    subPath === undefined
      ? []
      : [`mkdir -p ${mountPath}`, `mount --bind ${join(volume, subPath)} ${mountPath}`],
  )
  const socket = settings['SOTTO_TAILSCALED_SOCKET'] ?? ''
  // tailscaled makes the folder of its socket like this, as root.
  const sidecar = [
    `mkdir -p -m 755 ${dirname(socket)}`,
    `touch ${socket}`,
    `mount --bind ${localApi.path} ${socket}`,
  ]
  const hasSocket = volumeMounts.some(({ mountPath }) => socket.startsWith(`${mountPath}/`))
  const script = [
    'set -eu',
    'checkout=$1; shift',
    // In a directory of root alone, perhaps: it is put where others can read it.
    'mount -t tmpfs -o mode=755 none /mnt',
    'for each in "$checkout"/*; do at=/mnt/${each##*/}; if [ -d "$each" ]; then mkdir "$at"; else touch "$at"; fi; mount --bind "$each" "$at"; done',
    'mount -t tmpfs -o mode=755 none /var/lib',
    'mount -t tmpfs -o mode=755 none /run',
    ...mounts,
    ...(hasSocket ? sidecar : []),
    'cd /',
    'exec "$@"',
  ].join('\n')
  const command = [...asUser, moved(process.execPath), moved(cli), ...args]
  return new TestProcess('unshare', ['--mount', 'sh', '-c', script, 'sh', checkout, ...command], {
    environment,
    env: more,
  })
}

/** Runs a command of the image in the container of `server`. */
function inside(server: TestProcess, [program, ...args]: readonly string[]): Promise<Finished> {
  expect(program).toBe('sotto')
  const enter = ['--mount', '--target', `${server.pid}`, ...asUser]
  return ended(
    new TestProcess('nsenter', [...enter, moved(process.execPath), moved(cli), ...args], {
      environment,
    }),
  )
}

/** Where backups go in a test: beside the state. */
const backups = { SOTTO_BACKUP_TO: '/var/lib/sotto/backups' }
const asUser = [
  'setpriv',
  `--reuid=${runAsUser}`,
  `--regid=${runAsUser}`,
  `--groups=${fsGroup}`,
  '--bounding-set=-all',
  '--no-new-privs',
]
const environment = {
  ...Object.fromEntries(
    imageRun.Env.map((pair) => [
      pair.slice(0, pair.indexOf('=')),
      pair.slice(pair.indexOf('=') + 1),
    ]),
  ),
  ...settings,
  PATH: process.env['PATH'],
}
const checkout = new URL('..', import.meta.url).pathname.replace(/\/$/, '')

function moved(path: string): string {
  return path.startsWith(`${checkout}/`) ? join('/mnt', path.slice(checkout.length)) : path
}

function folder(name: string, mode: number): string {
  const path = join(scratch.path, name)
  mkdirSync(path)
  chownSync(path, 0, fsGroup)
  chmodSync(path, mode)
  expect(statSync(path).mode & 0o7777).toBe(mode)
  return path
}

async function ended(process: TestProcess): Promise<Finished> {
  const code = await process.exited
  return { code, stdout: process.stdout, stderr: process.stderr }
}
