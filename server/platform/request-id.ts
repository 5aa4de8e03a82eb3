/** Ids of requests. They name the run of the process and count within it. */
import { randomBytes } from 'node:crypto'

const run = randomBytes(6).toString('hex')
let requests = 0

/** A new request id; `of` says who asks, where that is not a caller on the network. */
export function nextRequestId(of?: string): string {
  requests++
  return [run, ...(of === undefined ? [] : [of]), requests.toString(36)].join('-')
}
