/** What of Node's own configuration would undo what Sotto relies on. */
import { SottoError } from '../client/api/errors.ts'

/** Options of Node that give away what passes through TLS or HTTP, or weaken their checks, and why. */
const unsafeOptions: readonly (readonly [option: RegExp, why: string])[] = [
  [/^--tls-keylog$/, 'Node would write the keys of its connections to a file'],
  [/^--trace-tls$/, 'Node would print what its connections negotiate'],
  [/^--tls-min-v1\.[01]$/, 'Node would speak releases of TLS that are broken'],
  [/^--tls-cipher-list$/, 'it can admit ciphers that check no certificate'],
  [
    /^--insecure-http-parser$/,
    'Node would accept requests that two readers understand differently',
  ],
  [/^--inspect(?:-brk|-wait)?$/, 'every user of this machine could read what is in its memory'],
  [/^--heapsnapshot-(?:signal|near-heap-limit)$/, 'Node would write its memory to a file'],
  [/^--security-revert$/, 'it brings back a weakness of Node that was fixed'],
  [/^--experimental-(?:default-)?config-file$/, 'the file can have any option of Node in it'],
]

/**
 * Throws `unsafe` where the environment `env`, or the options `args` of Node, would make this process trust any
 * certificate, or print or give away what passes through it.
 */
export function refuseUnsafeRuntime(
  env: Readonly<Record<string, string | undefined>>,
  args: readonly string[],
): void {
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    const why = 'Node would trust any certificate, and send secrets to anyone who answers'
    throw refusal(
      'NODE_TLS_REJECT_UNAUTHORIZED is 0',
      why,
      'NODE_EXTRA_CA_CERTS=FILE names an authority of your own; NODE_USE_SYSTEM_CA=1 trusts those of the system.',
    )
  }
  if (env['NODE_DEBUG']) throw refusal('NODE_DEBUG is set', 'Node would print parts of requests')
  // Node takes an underscore for a dash, and quotes in NODE_OPTIONS.
  const words = [...args, ...(env['NODE_OPTIONS'] ?? '').replaceAll(/["\\]/g, '').split(/\s+/)]
  for (const word of words) {
    const option = word.replace(/=.*$/s, '').replaceAll('_', '-')
    const why = unsafeOptions.find(([pattern]) => pattern.test(option))?.[1]
    if (why !== undefined) throw refusal(`Node's option ${option} is set`, why)
  }
}

function refusal(what: string, why: string, more = ''): SottoError {
  return new SottoError('unsafe', `Cannot run: ${what}, and ${why}`, {
    hint: ['Start without it.', more].join(' ').trim(),
  })
}
