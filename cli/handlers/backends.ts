/** Backends: where a server keeps its secrets. */
import { openBaoConfig } from '../../client/api/backends.ts'
import { type ErrorCode, errorTable, quote, SottoError } from '../../client/api/errors.ts'
import type { OperationRequest, OperationResponse } from '../../client/api/operations.ts'
import { visible } from '../../client/api/visible.ts'
import { readBackends } from './backend-file.ts'
import { applyFile } from './spec-file.ts'
import type { Invocation } from '../invocation.ts'
import { readTextFileNow } from '../../client/platform/text-file.ts'
import { table } from '../terminal/table.ts'

type Backend = OperationResponse<'backend-describe'>

/** `sotto backend list` */
export async function backendList(invocation: Invocation): Promise<void> {
  const backends = await invocation.client().operate('backend-list', {})
  const rows = backends.map(({ Name, Type, Default, Secrets, Description }) => {
    return [Name, Type, Default ? 'yes' : '', `${Secrets}`, Description]
  })
  await invocation.print(backends, (room) =>
    table([['NAME', 'TYPE', 'DEFAULT', 'SECRETS', 'DESCRIPTION'], ...rows], { room }),
  )
}

/** `sotto backend describe NAME` */
export async function backendDescribe(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0) ?? ''
  const backend = await invocation.client().operate('backend-describe', { Name })
  await invocation.print(backend, (room) => table(described(backend), { room }))
}

/** `sotto backend create NAME` */
export async function backendCreate(invocation: Invocation): Promise<void> {
  const backend = await invocation.client().operate('backend-create', specOf(invocation))
  await invocation.print(backend, () => `Created backend ${quote(backend.Name)}\n`)
  await invocation.io.stderr.write(
    `It is not tested yet: \`sotto backend test ${visible(backend.Name)}\` does that.\n`,
  )
}

/** `sotto backend apply -f FILE`: makes each backend of the file as it is described there. */
export async function backendApply(invocation: Invocation): Promise<void> {
  await applyFile(invocation, {
    noun: 'backend',
    kind: 'secretbackend',
    read: readBackends,
    send: (client, spec) => client.operate('backend-apply', spec),
    line: ({ Backend, Result }) => `Backend ${quote(Backend.Name)}: ${Result}`,
  })
}

/** `sotto backend delete NAME` */
export async function backendDelete(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0) ?? ''
  const LeaveValues = invocation.on('leave-values')
  await invocation.client().operate('backend-delete', { Name, LeaveValues })
  await invocation.print({}, () => `Deleted backend ${quote(Name)}\n`)
}

/** `sotto backend test NAME`. Prints the answer, then throws what is wrong with the backend. */
export async function backendTest(invocation: Invocation): Promise<void> {
  const Name = invocation.word(0) ?? ''
  const report = await invocation.client().operate('backend-test', { Name })
  const { Ok, Product = '', Notes, Error: fault } = report
  if (invocation.json || Ok) {
    await invocation.print(report, () =>
      [`${Product}: it answers and permits what is needed`, ...Notes]
        .map((line) => `${visible(line)}\n`)
        .join(''),
    )
  }
  if (!fault) return
  const code = Object.hasOwn(errorTable, fault.Code) ? (fault.Code as ErrorCode) : 'bad_answer'
  throw new SottoError(code, fault.Message, {
    ...(fault.Hint !== undefined && { hint: fault.Hint }),
  })
}

function specOf(invocation: Invocation): OperationRequest<'backend-create'> {
  const Name = invocation.word(0) ?? ''
  const type = invocation.text('type')
  if (type !== 'openbao') {
    throw new SottoError('usage', 'backend create needs --type openbao', {
      hint: 'It is the only type that can be created; the store itself is the backend "default".',
    })
  }
  return {
    Name,
    Type: 'openbao',
    Description: invocation.text('description') ?? '',
    Default: invocation.on('default'),
    Config: configOf(invocation),
  }
}

function configOf(invocation: Invocation): OperationRequest<'backend-create'>['Config'] {
  const url = invocation.text('url')
  const name = invocation.text('token-secret')
  if (url === undefined || name === undefined) {
    const hint = 'Other ways to log in are set up from a file: see `sotto help backend apply`.'
    throw new SottoError('usage', 'backend create needs --url and --token-secret', { hint })
  }
  const key = invocation.text('token-key')
  const caFile = invocation.text('ca-file')
  const fields = {
    url,
    mount: invocation.text('mount'),
    pathPrefix: invocation.text('path-prefix'),
    namespace: invocation.text('namespace'),
    caCertificate:
      caFile === undefined ? undefined : readTextFileNow(caFile, 'CA file', { pem: true }),
    tokenSecretRef: { name, ...(key !== undefined && { key }) },
  }
  const given = Object.entries(fields).filter(([, value]) => value !== undefined)
  const parsed = openBaoConfig.safeParse(Object.fromEntries(given))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = String(issue?.path[0] ?? 'config')
  const flag = flags[field] ?? field
  throw new SottoError('usage', `Cannot use --${flag}: it ${issue?.message}`)
}

/** Flags by the field that they give, where the names differ. */
const flags: Readonly<Record<string, string>> = {
  pathPrefix: 'path-prefix',
  caCertificate: 'ca-file',
  tokenSecretRef: 'token-secret',
}

function described(backend: Backend): string[][] {
  const {
    Name,
    Type,
    Default,
    Description,
    CreatedAt,
    Config = {},
    Secrets,
    Leftovers,
    Copies,
    Login,
  } = backend
  return [
    ['Name:', Name],
    ['Type:', Type],
    ['Default:', Default ? 'yes' : 'no'],
    ...(Description === '' ? [] : [['Description:', Description]]),
    ...(CreatedAt === undefined ? [] : [['Created:', CreatedAt]]),
    ...fieldsOf(Config).map(([name, value]) => [`${name}:`, value]),
    ...(Login === undefined ? [] : loginRows(Login)),
    ['Secrets:', String(Secrets)],
    ...(Copies === 0 ? [] : [['Kept besides:', `${Copies} that are in another backend`]]),
    ...(Leftovers === 0 ? [] : [['To be removed:', String(Leftovers)]]),
  ]
}

function loginRows(login: NonNullable<Backend['Login']>): string[][] {
  const { Method, Inline, Since, TokenSeconds, Renewed, Failed, Failure } = login
  const way = `${Method}${Inline ? ' with each call' : ''}`
  return [
    ['Login:', `${way}, ${Since === undefined ? 'none yet' : `last at ${Since}`}`],
    ...(TokenSeconds === undefined ? [] : [['Token:', `lives for ${TokenSeconds} s more`]]),
    ...(Renewed === undefined ? [] : [['Renewed:', Renewed]]),
    ...(Failed === undefined ? [] : [['Last failure:', `${Failed}: ${Failure}`]]),
  ]
}

/** The fields of a config, those of an object in it as `object.field`. */
function fieldsOf(config: object, prefix = ''): [name: string, value: string][] {
  return Object.entries(config).flatMap(([name, value]): [string, string][] => {
    if (typeof value === 'object' && value !== null) return fieldsOf(value, `${prefix}${name}.`)
    const text = String(value)
    return [[prefix + name, text.startsWith('-----BEGIN') ? 'a certificate' : text]]
  })
}
