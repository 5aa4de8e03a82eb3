/** Keep Secrets of Kubernetes equal to Sotto: what the command line offers. */
import type { Command } from '../command.ts'

const noLogin = 'The network says who is calling: there is no login, and no token to renew.'
const noOther = 'There is one backend, Sotto: give its URL with -s.'

/** By the flags of secrets-manager. */
const instead: Readonly<Record<string, string>> = {
  backend: noOther,
  'vault.url': 'Give the URL of Sotto with -s.',
  'vault.engine': 'Paths of both engines are understood: see mounts in the policy.',
  'config.backend-timeout': 'Use --timeout.',
  'reconcile-period': 'Sotto tells of changes. --resync looks for changes of Secrets by others.',
  'enable-leader-election': 'The Lease is always there.',
  'enable-debug-log': 'The log is the same always. Each definition has a status.',
  'metrics-addr': 'Use --metrics-listen.',
  'controller-name': 'Several controllers do not meet: leave it out.',
  'watch-namespaces': 'Use --namespace, once for each.',
  'exclude-namespaces': 'Use --exclude-namespace, once for each.',
  ...Object.fromEntries(
    [
      'role-id',
      'secret-id',
      'auth-method',
      'approle-path',
      'kubernetes-path',
      'kubernetes-role',
      'max-token-ttl',
      'token-polling-period',
      'renew-ttl-increment',
    ].map((name) => [`vault.${name}`, noLogin]),
  ),
  ...Object.fromEntries(
    [
      'name',
      'tenant-id',
      'client-id',
      'client-secret',
      'managed-client-id',
      'managed-resource-id',
    ].map((name) => [`azure-kv.${name}`, noOther]),
  ),
}

export const kubernetesCommands: readonly Command[] = [
  {
    name: 'kubernetes',
    args: [],
    summary: 'Keep Secrets of a Kubernetes cluster equal to Sotto.',
    details: `  sotto kubernetes -s https://secrets.example.ts.net --policy policy.yaml

It runs in the cluster, as one pod with a node of the tailnet: see docs/guides/kubernetes-secrets.md. For each
SecretDefinition (secrets-manager.tuenti.io/v1alpha1) it keeps one Secret, which it writes when Sotto tells of another
active version. It changes no Secret that is not its own, unless the definition says adopt: true.

The policy says which namespace may have which secrets. Everything else is refused before Sotto is asked:

  kind: kubernetespolicy
  allow:
    payments: [prod/payments/*, prod/shared/ca]
    "*": [NAMESPACE/*]
  mounts: {secret: ""}

NAMESPACE is the name of the namespace. By the mounts, secret/data/NAME and secret/NAME are the secret NAME.`,
    flags: {
      policy: { value: 'FILE', help: 'The file that says what namespaces may have. Required.' },
      namespace: {
        value: 'NAME',
        many: true,
        help: 'Look only into this namespace. Default: all.',
      },
      'exclude-namespace': {
        value: 'NAME',
        many: true,
        help: 'Leave this namespace alone, whatever --namespace says.',
      },
      resync: {
        value: 'TIME',
        help: 'How often Secrets are looked at for changes by others. Default: 5m.',
      },
      'metrics-listen': {
        value: 'ADDRESS',
        help: 'Serve /metrics, /healthz and /readyz here, as in :8080. Default: nowhere.',
      },
      'api-server': { value: 'URL', help: 'The API server. Default: as pods are told.' },
      'token-file': {
        value: 'FILE',
        help: 'The token for it. Default: that of the service account.',
      },
      'ca-file': {
        value: 'FILE',
        help: 'The certificates that it is checked by. Default: those of the service account.',
      },
      'own-namespace': {
        value: 'NAME',
        help: 'Where the Lease is. Default: the namespace of the pod.',
      },
    },
    instead,
    load: async () => (await import('../handlers/kubernetes/kubernetes.ts')).kubernetes,
  },
]
