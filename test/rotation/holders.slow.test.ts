/** A run that waits for a holder, which is believed only after some seconds. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Client } from '../../client/client.ts'
import { bytes, type Service, startService } from '../support/service.ts'
import { generated, reaches, round, statusOf } from './support.ts'

let service: Service

beforeEach(async () => {
  service = await startService()
  await service.client().put('prod/key', bytes('the first'))
})

afterEach(() => service[Symbol.asyncDispose]())

const create = (spec: ReturnType<typeof generated>) =>
  service.client().operate('rotation-create', spec)
const infoOf = async (name: string) => {
  const { Versions, ActiveVersion } = await service.client().info(name)
  return [Versions, ActiveVersion]
}
const run = (Name: string) => service.client().operate('rotation-run', { Name })

test('waits for a holder that has the old version, and ends when that took the new one', async () => {
  await create(generated('key', 'prod/key', { deleteOld: true }))
  const holder = new Client({ server: service.url, localAddress: '127.0.0.2', label: 'app' })
  expect((await holder.get('prod/key')).Version).toBe(1)
  await run('key')
  await reaches(service, 'key', 'converging')
  await round(service)
  expect(await statusOf(service, 'key')).toMatchObject({
    Step: 'converging',
    Waits: { Behind: 1, Unknown: 0 },
  })
  expect(await infoOf('prod/key')).toEqual([[1, 2], 2])
  const page = await (await fetch(`${service.url}/metrics`)).text()
  expect(page).toContain('sotto_rotation_waits{for="behind"} 1')
  expect(page).toContain('sotto_rotations{step="converging"} 1')
  expect((await holder.getIfChanged('prod/key', 1))?.Version).toBe(2)
  await reaches(service, 'key', 'done')
  expect(await infoOf('prod/key')).toEqual([[2], 2])
})
