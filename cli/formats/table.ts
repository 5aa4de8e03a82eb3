/** The formats of `sotto export`, by name. */
import { compose } from './compose.ts'
import { credentials } from './credentials.ts'
import { dockerEnv } from './docker-env.ts'
import { dotenv } from './dotenv.ts'
import type { Format } from './format.ts'
import { github } from './github.ts'
import { json } from './json.ts'
import { k8s } from './k8s.ts'
import { sh } from './sh.ts'
import { systemd } from './systemd.ts'
import { yaml } from './yaml.ts'

/** In the order of help. */
export const formats: Readonly<Record<string, Format>> = {
  sh,
  'docker-env': dockerEnv,
  compose,
  dotenv,
  systemd,
  credentials,
  json,
  yaml,
  k8s,
  github,
}
