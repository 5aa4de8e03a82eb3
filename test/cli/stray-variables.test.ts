/** U12: misspelt variables are named at the start of every command, with what was meant. */
import { expect, test } from 'vitest'
import { settings } from '../../server/config/settings/table.ts'
import { startSotto } from '../support/sotto.ts'
import { inProcess } from './play.ts'

const nowhere = { SOTTO_SERVER: 'http://127.0.0.1:1' }

/** What a command says of the environment before it fails or prints. */
async function notes(args: readonly string[], env: Record<string, string>): Promise<string[]> {
  const { stderr } = await inProcess(args, { ...nowhere, ...env })
  return stderr.split('\n').filter((line) => line.includes(' is set'))
}

test.each([
  ['SOTTO_SEVER', 'SOTTO_SERVER'],
  ['SOTTO_SERVERS', 'SOTTO_SERVER'],
  ['SOTO_SERVER', 'SOTTO_SERVER'],
  ['STOTO_SERVER', 'SOTTO_SERVER'],
  ['sotto_server', 'SOTTO_SERVER'],
  ['SOTTO-SERVER', 'SOTTO_SERVER'],
  ['SOTTO_STATEDIR', 'SOTTO_STATE_DIR'],
  ['SOTTO_KEYFILE', 'SOTTO_KEY_FILE'],
  ['SOTTO_BACKUP', 'SOTTO_BACKUP_TO'],
  ['SOTTO_KMS_KEYS', 'SOTTO_KMS_KEY'],
  ['SOTTO_KMS_KEY_NAME', 'SOTTO_KMS_KEY'],
  ['SOTTO_SERVER_URL', 'SOTTO_SERVER'],
])('U12: %s is named, and %s proposed', async (name, meant) => {
  const note = `${name} is set, and is not read. Did you mean ${meant}?`
  expect(await notes(['list'], { [name]: 'x' })).toEqual([note])
  expect(await notes(['server', '--none'], { [name]: 'x' })).toEqual([note])
  expect(await notes(['init'], { [name]: 'x' })).toEqual([note])
})

test('U12: one like no other is named by the commands of the server alone', async () => {
  const env = { SOTTO_TEAM: 'x', SOT_OTHER: 'x' }
  expect(await notes(['list'], env)).toEqual([])
  expect(await notes(['server', '--none'], env)).toEqual(['SOTTO_TEAM is set, and is not read.'])
})

test('U12: a setting that has no variable is told as a flag', async () => {
  expect(await notes(['server', '--none'], { SOTTO_DEV: '1' })).toEqual([
    'SOTTO_DEV is set, and is not read. Use the flag --dev.',
  ])
})

test('U12: no variable that is read is named, nor those that Kubernetes sets for a Service', async () => {
  const read = settings.flatMap(({ env }) => env)
  const service = ['SOTTO', 'SOTTO_SERVER'].flatMap((name) => [
    `${name}_SERVICE_HOST`,
    `${name}_SERVICE_PORT`,
    `${name}_SERVICE_PORT_HTTPS`,
    `${name}_PORT`,
    `${name}_PORT_443_TCP`,
    `${name}_PORT_443_TCP_PROTO`,
    `${name}_PORT_443_TCP_PORT`,
    `${name}_PORT_443_TCP_ADDR`,
  ])
  const env = Object.fromEntries([...read, ...service].map((name) => [name, '1']))
  expect(await notes(['list'], env)).toEqual([])
  expect(await notes(['server', '--none'], env)).toEqual([])
})

test('U12: JSON on stderr is an error alone', async () => {
  const { stderr } = await inProcess(['list', '-o', 'json'], { ...nowhere, SOTTO_SEVER: 'x' })
  expect(JSON.parse(stderr)).toMatchObject({ code: 'unreachable' })
})

test('U12: a server that starts names them', async () => {
  const server = await startSotto({ env: { SOTTO_BACKUPTO: '/nowhere' } })
  expect(await server.stop()).toBe(0)
  expect(server.output().stderr).toContain(
    'SOTTO_BACKUPTO is set, and is not read. Did you mean SOTTO_BACKUP_TO?\n',
  )
})

test('what `sotto run` sets for its programs is none', async () => {
  expect(await notes(['server', '--none'], { SOTTO_SECRETS_DIR: 'x' })).toEqual([])
})
