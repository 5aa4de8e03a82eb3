/**
 * Every call of the API by the last part of its path, with the errors of its own that it can give besides those
 * that every call can. Without the schemas, which take long to load.
 */
import type { ZodObject, ZodType } from 'zod'
import type { ErrorCode } from './errors.ts'
import type { Action } from './types.ts'

/** A call, as its schemas describe it. */
export interface MethodShape {
  readonly summary: string
  /** The action that a rule must allow on the name; null where no single name is concerned. */
  readonly action: Action | null
  /** Of an operation: whether its action must be allowed on the name of the request instead of the empty one. */
  readonly onName?: true
  readonly request: ZodObject
  readonly response: ZodType
}

/** Where the value of a secret is kept in a backend. */
const backendErrors = ['backend_unavailable', 'backend_refused', 'backend_altered'] as const
/** Where it is written to one. */
const writeErrors = [...backendErrors, 'backend_too_large', 'not_adopted'] as const

/** The methods of `wire.ts`. */
export const methodErrors = {
  list: [],
  info: ['not_found'],
  get: ['not_found', 'unchanged', ...backendErrors],
  put: ['invalid_name', 'versions_exhausted', 'conflict', ...writeErrors],
  'create-version': [
    'invalid_name',
    'invalid_version',
    'version_taken',
    'conflict',
    ...writeErrors,
  ],
  activate: ['invalid_name', 'invalid_version', 'not_found', 'conflict'],
  'delete-version': ['invalid_name', 'invalid_version', 'version_active', 'not_found', 'conflict'],
  delete: ['invalid_name', 'conflict'],
  whoami: [],
} as const satisfies Record<string, readonly ErrorCode[]>

/** The methods of `many.ts`. */
export const manyErrors = {
  'get-many': ['not_found', ...backendErrors],
  watch: [],
} as const satisfies Record<string, readonly ErrorCode[]>

/** The operations of `operations.ts`. */
export const operationErrors = {
  'secret-list': [],
  'secret-history': ['not_found'],
  'secret-put': ['versions_exhausted', 'conflict', ...writeErrors],
  'secret-activate': ['not_found', 'conflict'],
  'audit-query': [],
  rollout: ['not_found'],
  'job-status': [],
  'job-run': ['not_found'],
  'backup-create': ['not_found'],
  'backup-adopt': ['not_found'],
  'backup-status': ['not_found'],
  'backend-list': [],
  'backend-describe': ['not_found'],
  'backend-secrets': ['not_found'],
  'backend-create': ['backend_exists', 'backend_not_allowed', 'not_found', 'conflict'],
  'backend-apply': [
    'backend_exists',
    'backend_in_use',
    'backend_not_allowed',
    'not_found',
    'conflict',
  ],
  'backend-delete': ['not_found', 'backend_in_use', 'conflict'],
  'backend-test': ['not_found'],
  'rotation-list': [],
  'rotation-describe': ['not_found'],
  'rotation-status': ['not_found'],
  'rotation-create': ['rotation_exists', 'rotation_not_allowed', 'not_found', 'conflict'],
  'rotation-apply': [
    'rotation_exists',
    'rotation_not_allowed',
    'rotation_state',
    'not_found',
    'conflict',
  ],
  'rotation-delete': ['not_found', 'rotation_state', 'conflict'],
  'rotation-plan': ['not_found'],
  'rotation-run': ['not_found', 'rotation_state', 'conflict'],
  'rotation-done': ['not_found', 'rotation_state', 'conflict'],
  'rotation-abort': ['not_found', 'rotation_state', 'conflict'],
  'rotation-retire': ['not_found', 'rotation_state', 'conflict'],
  'rotation-reconcile': ['not_found', 'rotation_state', 'conflict'],
  'branch-status': [],
  'branch-adopt': ['conflict'],
  'migrate-plan': ['not_found'],
  'migrate-secret': ['not_found', 'conflict', ...writeErrors],
  'key-status': [],
  'key-rotate': ['conflict', 'key_missing', 'key_wrong', 'key_exposed'],
  'key-rewrap': ['not_found', 'key_missing', 'key_wrong', 'key_exposed'],
  'key-check': [],
  'key-add': ['not_found', 'conflict', 'key_missing', 'key_wrong', 'key_exposed'],
  'key-remove': ['not_found', 'conflict', 'key_missing', 'key_wrong', 'key_exposed'],
  'mirror-status': ['not_found'],
  'mirror-sync': ['not_found'],
  'mirror-plan': ['not_found', 'backend_unavailable', 'backend_refused'],
} as const satisfies Record<string, readonly ErrorCode[]>

/** Every call, with the errors of its own. */
export const callErrors = { ...methodErrors, ...manyErrors, ...operationErrors }
