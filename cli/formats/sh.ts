/** Commands of a POSIX shell: for `eval` and `.` in dash, bash and zsh. Every byte but NUL comes through. */
import { type Format, linesOf, nulRefusal, variableRefusal } from './format.ts'

/** Variables that a shell sets by itself, or that cannot be set: bash's, and in small letters zsh's. */
const own =
  /^(?:_|UID|EUID|PPID|GROUPS|BASH|BASHOPTS|BASHPID|BASH_(?:ALIASES|ARG[CV]|ARGV0|CMDS|COMMAND|LINENO|REMATCH|SOURCE|SUBSHELL|VERSINFO|VERSION)|COMP_WORDBREAKS|DIRSTACK|EPOCH(?:REAL)?TIME|EPOCHSECONDS|FUNCNAME|HISTCMD|LINENO|OPTIND|PIPESTATUS|RANDOM|SECONDS|SHELLOPTS|SHLVL|SRANDOM|TTYIDLE|USERNAME|GID|EGID|ERRNO|aliases|argv|builtins|cdpath|commands|errnos|fignore|fpath|functions|galiases|history|historywords|jobdirs|jobstates|jobtexts|keymaps|mailpath|manpath|module_path|modules|nameddirs|options|parameters|path|patchars|pipestatus|prompt|psvar|reswords|saliases|signals|status|termcap|terminfo|userdirs|usergroups|watch|widgets|zsh_eval_context)$/

export const sh: Format = {
  reader: 'eval and . in dash, bash and zsh',
  refusal: ({ variable, value }) =>
    variableRefusal(variable) ??
    (own.test(variable) ? 'a shell uses a variable of that name itself' : nulRefusal(value)),
  // Read as single bytes, of which no character that matters is a part of another.
  write: (entries) =>
    linesOf(entries, (each) => `export ${each.variable}=${quoted(each.value)}`, 'latin1'),
}

function quoted(value: Uint8Array): string {
  return `'${Buffer.from(value).toString('latin1').replaceAll("'", String.raw`'\''`)}'`
}
