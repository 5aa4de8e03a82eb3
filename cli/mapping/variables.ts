/** Names of variables: how one is made of the name of a secret, and which decide what programs run. */
import { quote, SottoError } from '../../client/api/errors.ts'

/** Variables by which a value becomes a program that runs, code that is loaded, or whom a program trusts. */
const dangerous = new RegExp(
  `^(?:${[
    // Shells, and the loader of the system.
    'PATH|CDPATH|IFS|ENV|HOME|SHELL|SHELLOPTS|BASHOPTS|BASH_ENV|BASH_FUNC_.*|PROMPT_COMMAND|PS\\d|ZDOTDIR|FPATH',
    'LD_.*|DYLD_.*|GCONV_PATH|LOCPATH|NLSPATH|GLIBC_TUNABLES|XDG_.*',
    // Languages.
    'NODE_(?:OPTIONS|PATH|REPL_EXTERNAL_MODULE|EXTRA_CA_CERTS|TLS_REJECT_UNAUTHORIZED)|BUN_OPTIONS',
    // What begins with _ is a credential of npm.
    'NPM_CONFIG_(?!_).*',
    'PYTHON.*|PERL5.*|PERLLIB|RUBYOPT|RUBYLIB|GEM_(?:HOME|PATH)|BUNDLE_GEMFILE',
    '_?JAVA_OPTIONS|(?:JAVA_TOOL|JDK_JAVA)_OPTIONS|JAVA_HOME|CLASSPATH',
    'DOTNET_(?:STARTUP_HOOKS|ADDITIONAL_DEPS|ROOT)|COR(?:ECLR)?_(?:ENABLE_PROFILING|PROFILER.*)',
    'PHPRC|PHP_INI_SCAN_DIR|LUA_(?:INIT|PATH|CPATH).*|ERL_.*|ELIXIR_ERL_OPTIONS',
    'R_(?:PROFILE|ENVIRON|LIBS).*|JULIA_(?:LOAD_PATH|DEPOT_PATH)|GUILE_.*LOAD_PATH|TCLLIBPATH',
    // What programs start for a person, or to do a part of their work.
    '(?:.*_)?(?:MAN)?PAGER|(?:.*_)?EDITOR|VISUAL|FCEDIT|BROWSER|LESS(?:OPEN|CLOSE|KEY.*)?',
    'GIT_.*|(?:.*_)?ASKPASS|(?:.*_)?RSH|RSYNC_CONNECT_PROG|PSQLRC|(?:EX|[GN]?VIM)INIT',
    '(?:GNU)?MAKEFLAGS|MAKEFILES|GOFLAGS|RUSTC_.*WRAPPER|KUBECONFIG|ANSIBLE_CONFIG',
    'OPENSSL_.*|SSL_CERT_(?:FILE|DIR)|(?:.*_)?CA_BUNDLE|CURL_HOME',
    // Where a sotto in it asks, and what it trusts.
    'SOTTO_.*',
  ].join('|')})$`,
  's',
)

/** `db-url` as `DB_URL`; undefined where that cannot be a variable. */
export function variableOf(name: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_./:-]*$/.test(name)) return undefined
  return name.replaceAll(/[^A-Za-z0-9]/g, '_').toUpperCase()
}

/** Throws `usage` for the first of `variables` that decides which programs run, but for those in `allowed`. */
export function refuseDangerous(variables: readonly string[], allowed: readonly string[]): void {
  const found = variables.find((each) => dangerous.test(each) && !allowed.includes(each))
  if (found === undefined) return
  throw new SottoError(
    'usage',
    `Cannot set ${quote(found)}: it decides which programs run, or how`,
    {
      hint: `Whoever can put that secret could run programs. If that is meant: --allow-name ${found}`,
    },
  )
}
