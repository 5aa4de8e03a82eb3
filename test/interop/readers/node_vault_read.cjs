/** Reads secrets of a KV engine with node-vault: URL MOUNT PATH..., the token in VAULT_TOKEN. Prints JSON by path. */
const vaultOf = require('node-vault')

const [endpoint, mount, ...paths] = process.argv.slice(2)
const vault = vaultOf({ endpoint, token: process.env.VAULT_TOKEN })

async function read(path) {
  if (path.endsWith('/')) return (await vault.list(`${mount}/metadata/${path}`)).data.keys
  return (await vault.read(`${mount}/data/${path}`)).data.data
}

async function main() {
  const found = {}
  for (const path of paths) found[path] = await read(path)
  process.stdout.write(JSON.stringify(found))
}

void main()
