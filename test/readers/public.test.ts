/** Files such as projects keep them: odd quotes, comments, anchors, keys of several lines, names that are there twice. */
import { describe, expect, test } from 'vitest'
import { readDotenv } from '../../cli/readers/dotenv.ts'
import type { Item } from '../../cli/readers/item.ts'
import { readK8s } from '../../cli/readers/k8s.ts'
import { readJson, readYaml } from '../../cli/readers/yaml.ts'

const shown = (items: readonly Item[]) =>
  items.map(({ name, value, refusal }) =>
    value === undefined ? `${name}! ${refusal}` : `${name}=${Buffer.from(value).toString()}`,
  )

const PEM = '-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----\n'

describe('dotenv', () => {
  test('of a web framework, with references and blanks', () => {
    const text = `APP_NAME="My App"
APP_KEY=base64:Zm9vYmFyZm9vYmFy=
APP_URL=http://localhost

DB_PASSWORD=
REDIS_PASSWORD=null
MAIL_FROM_NAME="\${APP_NAME}"
`
    expect(shown(readDotenv(text))).toEqual([
      'APP_NAME=My App',
      'APP_KEY=base64:Zm9vYmFyZm9vYmFy=',
      'APP_URL=http://localhost',
      'DB_PASSWORD=',
      'REDIS_PASSWORD=null',
      'MAIL_FROM_NAME! it refers to a variable or a command: write the value itself, in single quotes',
    ])
  })

  test('of Compose, with comments and a name that is there twice', () => {
    const text = `# database
POSTGRES_USER=app   # the owner
POSTGRES_PASSWORD='p$ss#w"rd'
#POSTGRES_DB=old
POSTGRES_DB=app
POSTGRES_DB=app_test
COMPOSE_FILE=a.yml:b.yml
`
    expect(shown(readDotenv(text))).toEqual([
      'POSTGRES_USER=app',
      'POSTGRES_PASSWORD=p$ss#w"rd',
      'POSTGRES_DB! its name is there twice, also in line 6',
      'POSTGRES_DB! its name is there twice, also in line 5',
      'COMPOSE_FILE=a.yml:b.yml',
    ])
  })

  test('to be sourced, with keys of several lines', () => {
    const text = `export SECRET_KEY='django-insecure-$x(y)=!@^&'
export PRIVATE_KEY="-----BEGIN PRIVATE KEY-----
MIIEvQ==
-----END PRIVATE KEY-----
"
export PUBLIC_KEY="-----BEGIN\\nAA==\\n-----END"
export TOKEN=ab"c"d
export DEBUG = False
`
    expect(shown(readDotenv(text))).toEqual([
      'SECRET_KEY=django-insecure-$x(y)=!@^&',
      `PRIVATE_KEY=${PEM}`,
      'PUBLIC_KEY=-----BEGIN\nAA==\n-----END',
      'TOKEN=ab"c"d',
      'DEBUG=False',
    ])
  })
})

describe('yaml', () => {
  const read = (text: string) => shown(readYaml(text, 'Cannot import'))

  test('of a framework that shares by anchors', () => {
    const text = `default: &default
  adapter: postgresql
  password: <%= ENV["X"] %>
development:
  <<: *default
  password: dev
production:
  <<: *default
  url: 'postgres://u:p@h/db'
`
    expect(read(text)).toEqual([
      'default/adapter=postgresql',
      'default/password=<%= ENV["X"] %>',
      'development/adapter=postgresql',
      'development/password=dev',
      'production/adapter=postgresql',
      'production/password=<%= ENV["X"] %>',
      'production/url=postgres://u:p@h/db',
    ])
  })

  test('of a chart, with what is no secret', () => {
    const text = `image: {repository: app, tag: 1.10}
auth:
  # changed at the first login
  adminPassword: ""
  existingSecret: ~
hosts: [a.example.com]
tls: {enabled: true, key: "-----BEGIN\\nAA==\\n"}
`
    expect(read(text)).toEqual([
      'image/repository=app',
      'image/tag=1.10',
      'auth/adminPassword=',
      'auth/existingSecret! it has no value',
      'hosts! it is a list',
      'tls/enabled=true',
      'tls/key=-----BEGIN\nAA==\n',
    ])
  })

  test('of variables, with blocks and odd keys', () => {
    const text = `---
vault_db_password: 'it''s'
vault.key: |
${PEM.replaceAll(/^(?=.)/gm, '  ')}
"on": 'yes'
date: 2026-01-02
`
    expect(read(text)).toEqual([
      "vault_db_password=it's",
      `vault.key=${PEM}`,
      'on=yes',
      'date=2026-01-02',
    ])
  })
})

describe('json', () => {
  const read = (text: string) => shown(readJson(text, 'Cannot import'))

  test('of an account of a cloud', () => {
    const account = { type: 'service_account', private_key: PEM, client_id: '1029384756' }
    expect(read(JSON.stringify(account, undefined, 2))).toEqual(
      Object.entries(account).map(([name, value]) => `${name}=${value}`),
    )
  })

  test('of settings, with sections', () => {
    const text = `{
  "ConnectionStrings": { "Default": "Server=h;Password=a\\\\b\\"c" },
  "Jwt": { "Key": "k", "Minutes": 60, "Issuers": ["x"] },
  "Logging:Level": "Debug"
}`
    expect(read(text)).toEqual([
      'ConnectionStrings/Default=Server=h;Password=a\\b"c',
      'Jwt/Key=k',
      'Jwt/Minutes=60',
      'Jwt/Issuers! it is a list',
      'Logging:Level=Debug',
    ])
  })

  test('of an export, with long numbers and null', () => {
    expect(read('{"id": 123456789012345678901, "e": 1E3, "n": null, "é": "ü"}')).toEqual([
      'id=123456789012345678901',
      'e=1E3',
      'n! it has no value',
      'é=ü',
    ])
  })
})

describe('k8s', () => {
  const read = (text: string) => shown(readK8s(text, 'Cannot import'))

  test('of a certificate, with the comments of a chart', () => {
    const text = `---
# Source: app/templates/secret.yaml
apiVersion: v1
kind: Secret
metadata:
  name: app-tls
  labels: {app.kubernetes.io/name: app}
type: kubernetes.io/tls
data:
  tls.crt: ${Buffer.from(PEM).toString('base64')}
  tls.key: "${Buffer.from('key').toString('base64')}"
---
# Source: app/templates/service.yaml
apiVersion: v1
kind: Service
metadata: {name: app}
`
    expect(read(text)).toEqual([`app-tls/tls.crt=${PEM}`, 'app-tls/tls.key=key'])
  })

  test('of kubectl get -o yaml', () => {
    const item = (name: string) => `- apiVersion: v1
  data: {password: cGFzcw==}
  kind: Secret
  metadata: {creationTimestamp: "2026-01-02T03:04:05Z", name: ${name}, namespace: prod}
  type: Opaque
`
    const text = `apiVersion: v1\nitems:\n${item('one')}${item('two')}kind: List\nmetadata: {resourceVersion: ""}\n`
    expect(read(text)).toEqual(['one/password=pass', 'two/password=pass'])
  })

  test('that a person wrote, with plain texts and what is not base64', () => {
    const text = `kind: Secret
apiVersion: v1
metadata: {name: app}
stringData:
  config.yaml: |
    db: {password: "x"}
  port: "5432"
data: {token: not base64!}
`
    expect(read(text)).toEqual([
      'app/token! it is not base64',
      'app/config.yaml=db: {password: "x"}\n',
      'app/port=5432',
    ])
  })
})
