/** One store under every kind of key: a server opens it with any one of them when the others are gone. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import type { DevelopmentConfig } from '../../server/config/config.ts'
import { startServer } from '../../server/start/server.ts'
import { inProcess } from '../cli/play.ts'
import { startOpenBao } from '../support/openbao.ts'
import { describeWith } from '../support/peers.ts'
import { temporaryDirectory } from '../support/sotto.ts'
import { credentials, startMoto } from './kms/moto.ts'
import { recordingLogger } from '../support/logger.ts'

/** Which everybody can read here. */
const identity = 'AGE-SECRET-KEY-1Y9T6L290HXPWFFCAD4PF0LTKG3CESDZXWPZ6FSHYPT8D4K7DZ0US3ZHQVM\n'
const recipient = 'age1x8wrduasc9fdma5yl8saqv075ndlwnrumckm7g4lggwsew4qufcqrl60uz'

describeWith(['bao', 'kms-python'], 'a store under four keys', () => {
  test('is opened by each of them alone', async ({ onTestFinished }) => {
    for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value)
    onTestFinished(() => void vi.unstubAllEnvs())
    using scratch = temporaryDirectory()
    const path = (name: string): string => join(scratch.path, name)
    await using moto = await startMoto()
    await using bao = await startOpenBao()
    await bao.mount('transit', 'transit')
    await bao.must('POST', 'transit/keys/sotto', { derived: true })
    writeFileSync(path('token'), bao.rootToken, { mode: 0o600 })
    writeFileSync(path('identity'), identity, { mode: 0o600 })

    const keys = {
      'aws-kms': { awsKms: { key: await moto.createKey(), endpoint: moto.url } },
      'openbao-transit': {
        transit: {
          key: 'sotto',
          url: bao.url,
          mount: 'transit',
          login: { method: 'token', token: { file: path('token') } },
        },
      },
      local: { keyFile: path('local.key') },
      recovery: { recoveryIdentity: path('identity') },
    } as const
    /** Serves with these keys, and resolves with what the server said. */
    const serve = async (given: Partial<DevelopmentConfig>): Promise<string[]> => {
      const said: string[] = []
      const config = {
        dev: true,
        tailnet: undefined,
        stateDir: path('state'),
        keyFile: undefined,
        listen: { host: '127.0.0.1', port: 0 },
        ...given,
      } as const
      const server = await startServer(config, { logger: recordingLogger(said) })
      await server.stop()
      return said
    }

    await serve({ ...keys['aws-kms'], ...keys['openbao-transit'], ...keys.local })
    const env = {
      SOTTO_STATE_DIR: path('state'),
      SOTTO_KEY_FILE: path('local.key'),
    }
    const added = await inProcess(['key', 'add', 'recovery', '--recipient', recipient], env)
    expect(added).toMatchObject({ exit: '0' })

    renameSync(path('local.key'), path('kept.key'))
    for (const [name, key] of Object.entries(keys)) {
      const said = await serve('keyFile' in key ? { keyFile: path('kept.key') } : key)
      const opened = said.filter((line) => line.startsWith('info: the store was opened with '))
      expect(opened).toEqual([
        expect.stringMatching(new RegExp(`^info: the store was opened with ${name} key `)),
      ])
    }
    await expect(serve({})).rejects.toMatchObject({ code: 'key_missing' })
  })
})
