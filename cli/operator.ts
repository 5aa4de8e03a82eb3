/** The user who runs a command that works on files, for the audit log. */
import { hostname, userInfo } from 'node:os'

/** The user as the system knows it, and the host. */
export function operator(): string {
  return `${userName()} on ${hostname()}`
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container's user often has a number alone.
    return `user ${process.geteuid?.() ?? 'unknown'}`
  }
}
