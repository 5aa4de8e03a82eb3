/** What the surface says of itself, where a client of Vault asks the server about its state, its mounts and its token. */
import type { Caller } from '../access.ts'
import type { Mount } from './mounts.ts'

/** The release of OpenBao that the surface answers as. */
const AS_OF = '2.4.0'
const CLUSTER = { cluster_name: 'sotto', cluster_id: '00000000-0000-0000-0000-000000000000' }

/** How long a token that means nothing is said to live, in seconds: clients renew it, or log in again. */
const TTL_S = 3600

/** The token of everybody: who calls is what the tailnet says, whatever is sent. */
export const CONSTANT_TOKEN = 'tailnet'

/** `sys/health`, at `now`. */
export function health(now: Date): object {
  return {
    initialized: true,
    sealed: false,
    standby: false,
    performance_standby: false,
    replication_performance_mode: 'disabled',
    replication_dr_mode: 'disabled',
    server_time_utc: Math.floor(now.getTime() / 1000),
    version: AS_OF,
    ...CLUSTER,
  }
}

/** `sys/seal-status`. */
export const sealStatus = {
  type: 'shamir',
  initialized: true,
  sealed: false,
  t: 1,
  n: 1,
  progress: 0,
  nonce: '',
  version: AS_OF,
  build_date: '',
  migration: false,
  ...CLUSTER,
  recovery_seal: false,
  storage_type: 'sotto',
}

/** `sys/init`. */
export const init = { initialized: true }

/** `sys/leader`. */
export const leader = {
  ha_enabled: false,
  is_self: false,
  active_time: '0001-01-01T00:00:00Z',
  leader_address: '',
  leader_cluster_address: '',
}

/** `sys/mounts/MOUNT`. */
export function mountEntry({ name }: Mount): object {
  return {
    accessor: `kv_${name}`,
    config: {
      default_lease_ttl: 0,
      force_no_cache: false,
      max_lease_ttl: 0,
    },
    deprecation_status: 'supported',
    description: '',
    external_entropy_access: false,
    local: false,
    options: { version: '2' },
    plugin_version: '',
    running_plugin_version: 'v2.4.0+builtin.bao',
    running_sha256: '',
    seal_wrap: false,
    type: 'kv',
    uuid: '00000000-0000-0000-0000-000000000000',
  }
}

/** `sys/internal/ui/mounts/PATH`: the mount that the path is in. */
export function mountOfPath(mount: Mount): object {
  return { ...mountEntry(mount), path: `${mount.name}/` }
}

/** `auth/token/lookup-self`: what the token of `caller`, `id`, is said to be at `now`. */
export function tokenEntry({ principal }: Caller, id: string, now: Date, ttl = TTL_S): object {
  const issued = Math.floor(now.getTime() / 1000)
  return {
    accessor: '',
    creation_time: issued,
    creation_ttl: ttl,
    display_name: principal.user ?? principal.hostname,
    entity_id: '',
    expire_time: new Date((issued + ttl) * 1000).toISOString(),
    explicit_max_ttl: 0,
    id,
    issue_time: now.toISOString(),
    meta: { hostname: principal.hostname },
    num_uses: 0,
    orphan: true,
    path: 'auth/token/create-orphan',
    policies: ['tailnet'],
    renewable: true,
    ttl,
    type: 'service',
  }
}

/** What a login, or a renewal, of `caller` gives: the token `client_token`. */
export function authOf({ principal }: Caller, client_token: string, ttl = TTL_S): object {
  return {
    client_token,
    accessor: '',
    policies: ['tailnet'],
    token_policies: ['tailnet'],
    metadata: { hostname: principal.hostname },
    lease_duration: ttl,
    renewable: true,
    entity_id: '',
    token_type: 'service',
    orphan: true,
    mfa_requirement: null,
    num_uses: 0,
  }
}
