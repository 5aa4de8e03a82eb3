/** What tailscaled's LocalAPI answers, as far as it is used: schemas, checked at the edge. */
import { z } from 'zod'

/** Go writes an empty list as null, or leaves it out. */
const texts = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? [])

const flag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false)

/**
 * A time in milliseconds since 1970; undefined for none, which is left out or the year 1. Numeric
 * ids are not read at all: some are past what a JSON number holds, and StableID names a node.
 */
const time = z
  .string()
  .nullish()
  .transform((text, context) => {
    if (text === null || text === undefined || text.startsWith('0001-01-01T')) return undefined
    const ms = Date.parse(text)
    if (!Number.isNaN(ms)) return ms
    context.addIssue({ code: 'custom', message: 'is not a time' })
    return z.NEVER
  })

const stableId = z.string().min(1)

const node = z.object({
  StableID: stableId,
  /** The full name, with a dot at its end. */
  Name: z.string().min(1),
  Addresses: texts,
  Tags: texts,
  KeyExpiry: time,
  Expired: flag,
  /** Whether it may be answered only, never call. */
  IsJailed: flag,
  /** Whether its key lacks the signature that the tailnet asks for. */
  UnsignedPeerAPIOnly: flag,
})

/** Who is at an address. */
export const whoIsAnswer = z.object({
  Node: node,
  UserProfile: z.object({ LoginName: z.string() }),
  /** Capabilities of the node towards the address that it calls; `Node.CapMap` is something else. */
  CapMap: z.record(z.string(), z.array(z.unknown()).nullable()).nullish(),
})

/** State of the daemon, without its peers. */
export const statusAnswer = z.object({
  /** False in userspace mode; unknown when the answer is not tailscaled's. */
  TUN: z.boolean(),
  BackendState: z.string(),
  /** The release of the daemon. */
  Version: z.string().default('of unknown release'),
  /** Null until the daemon has joined a tailnet. */
  Self: z
    .object({
      ID: z.string(),
      DNSName: z.string(),
      TailscaleIPs: texts,
      /** Whether the control server is in touch. */
      Online: flag,
      KeyExpiry: time,
    })
    .nullish(),
  CertDomains: texts,
})

const named = z.object({ DNSName: z.string(), TailscaleIPs: texts })

/** Names and addresses of the nodes that the daemon knows. */
export const nodesAnswer = z.object({
  Self: named.nullish(),
  Peer: z.record(z.string(), named).nullish(),
})

export type NodesAnswer = z.output<typeof nodesAnswer>
export type WhoIsAnswer = z.output<typeof whoIsAnswer>
export type StatusAnswer = z.output<typeof statusAnswer>
