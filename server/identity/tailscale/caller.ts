/** A caller out of what tailscaled says of an address. */
import { quote } from '../../../client/api/errors.ts'
import type { Principal } from '../../../client/api/types.ts'
import type { Caller } from '../../access.ts'
import type { WhoIsAnswer } from './answers.ts'
import { rulesIn } from './rules.ts'

/** What makes a caller of an answer. */
export interface CallerTerms {
  /** The address that the request came from. */
  readonly address: string
  /** StableID of the server's own node. */
  readonly self: string
  /** Names of the capability whose values are rules; the first that has any counts. */
  readonly capabilities: readonly string[]
  readonly now: Date
}

/** A caller whose node is known. */
export type NodeCaller = Caller & { readonly node: string }

/** The login name of every tagged node, which belongs to no user. */
const TAGGED = 'tagged-devices'

/** Makes the caller, or throws a plain Error whose message is the reason why not. */
export function callerOf(answer: WhoIsAnswer, terms: CallerTerms): NodeCaller {
  const { Node: node } = answer
  const problem = problemWith(answer, terms)
  if (problem !== undefined) throw new Error(`the node ${quote(nameOf(node))} ${problem}`)
  return {
    principal: principalOf(answer, terms.address),
    rules: rulesIn(answer.CapMap ?? {}, terms.capabilities),
    node: node.StableID,
  }
}

function problemWith(
  { Node: node, UserProfile }: WhoIsAnswer,
  { self, now }: CallerTerms,
): string | undefined {
  if (node.StableID === self) return 'is the server itself: any program on it could be calling'
  // tailscaled flags an expired key seconds late, and still reports its capabilities.
  const expired = node.KeyExpiry !== undefined && node.KeyExpiry <= now.getTime()
  if (node.Expired || expired) return 'has an expired key; it has to log in again'
  if (node.IsJailed) return 'is jailed: it may be called, and not call'
  if (node.UnsignedPeerAPIOnly) return 'has a key that the tailnet lock has not signed'
  if (node.Tags.length > 0) return undefined
  if (UserProfile.LoginName === '')
    return 'belongs to no user: it has neither tags nor a login name'
  if (UserProfile.LoginName === TAGGED) return 'has no tags, though it is said to be tagged'
  return undefined
}

/** Tags are the identity of a tagged node, whichever user added it. */
function principalOf({ Node: node, UserProfile }: WhoIsAnswer, ip: string): Principal {
  const who = node.Tags.length > 0 ? { tags: node.Tags } : { user: UserProfile.LoginName }
  return { hostname: nameOf(node), ip, ...who }
}

function nameOf({ Name }: WhoIsAnswer['Node']): string {
  return Name.endsWith('.') ? Name.slice(0, -1) : Name
}
