/** docs/deploy/github-workflow.yml: its step is run as a runner of GitHub runs it, against a development server. */
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { rulesIn } from '../../server/identity/tailscale/rules.ts'
import { fromHujson } from '../support/hujson.ts'
import { type Finished, run } from '../support/process.ts'
import { type Running, runSotto, startSotto, temporaryDirectory } from '../support/sotto.ts'

interface Step {
  readonly name?: string
  readonly uses?: string
  readonly with?: Readonly<Record<string, string>>
  readonly shell?: string
  readonly env?: Readonly<Record<string, string>>
  readonly run?: string
}

const text = readFileSync(new URL('../../docs/deploy/github-workflow.yml', import.meta.url), 'utf8')
const { jobs } = parse(text) as { jobs: { deploy: { steps: readonly Step[] } } }
const { steps } = jobs.deploy
const fetching = steps.find(({ run: script }) => script?.includes('/api/get')) as Step

let server: Running
let scratch: ReturnType<typeof temporaryDirectory>
beforeAll(async () => {
  scratch = temporaryDirectory()
  server = await startSotto()
})
afterAll(async () => {
  await server.stop()
  scratch[Symbol.dispose]()
})

/** Runs the step with the shell that GitHub documents for `shell: bash`. */
async function fetched(name: string): Promise<Finished & { readonly folder: string }> {
  const folder = join(scratch.path, name)
  mkdirSync(folder)
  const script = join(scratch.path, `${name}.sh`)
  writeFileSync(script, fetching.run ?? '')
  expect(fetching.shell).toBe('bash')
  const env = { ...fetching.env, SOTTO_SERVER: server.url, RUNNER_TEMP: folder }
  const ended = await run('bash', ['--noprofile', '--norc', '-eo', 'pipefail', script], { env })
  return { ...ended, folder }
}

/** What a runner hides that reads these lines. */
function masks(stdout: string): string[] {
  return stdout.split('\n').flatMap((line) => {
    const [, value] = /^::add-mask::(.*)$/.exec(line) ?? []
    const spelt = value?.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%')
    return spelt ?? []
  })
}

test('it is short, joins the tailnet first, and its policy lets that tag get what it asks for', () => {
  expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(40)
  expect(steps[0]?.uses).toMatch(/^tailscale\/github-action@v\d+$/)
  const tag = steps[0]?.with?.['tags'] ?? ''
  const comment =
    text
      .match(/^# {3}.*$/gm)
      ?.map((line) => line.slice(1))
      .join('\n') ?? ''
  const grant = fromHujson(comment) as { src: string[]; app: Record<string, unknown[]> }
  expect(grant.src).toEqual([tag])
  const [rule] = rulesIn({ capability: Object.values(grant.app)[0] ?? [] }, ['capability'])
  expect(rule).toEqual({ action: ['get'], secret: ['prod/ci/*'] })
  expect(fetching.run).toContain('{"Name": "prod/ci/deploy-key"}')
})

describe('the step', () => {
  test('says that there is no such secret, and leaves no key', async () => {
    const { code, stdout, folder } = await fetched('missing')
    expect(code).toBe(22)
    expect(masks(stdout)).toEqual([])
    expect(readdirSync(folder)).not.toContain('deploy-key')
  })

  test('has the value in a file of its own, and hides each line of it', async () => {
    const lines = [
      '-----BEGIN KEY-----',
      'b3Blbn%0Anot a line',
      '',
      'windows\r',
      '100%',
      '  indented',
      '*?',
      'last',
    ]
    const value = lines.join('\n')
    await runSotto(['-s', server.url, 'put', 'prod/ci/deploy-key'], { input: value })
    const { code, stdout, stderr, folder } = await fetched('there')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const file = join(folder, 'deploy-key')
    expect(readFileSync(file, 'utf8')).toBe(value)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['deploy-key'])
    expect(masks(stdout)).toEqual(lines.filter((line) => line !== ''))
    // Nothing else is said, in which a line could stand.
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .every((line) => line.startsWith('::add-mask::')),
    ).toBe(true)
  })
})
