#!/usr/bin/env bash
# Packs the library, installs the package in a project of its own, and runs and type-checks the README's first program
# there: what a newcomer does.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT

cd "$root"
npm pack --silent --pack-destination "$project" >/dev/null
# The library was packed in 1 MB before it had the operator API, verify, repair, backup and export, which take 150 KB. The command
# line beside it contains other packages (dist/cli), and has a limit of its own.
bytes=$(wc -c < "$project"/holdfast-*.tgz)
command_line=$(tar -cz dist/cli | wc -c)
library=$((bytes - command_line))
[ "$library" -le 1200000 ] || { echo "The packed library has $library bytes; at most 1,200,000 are allowed." >&2; exit 1; }
[ "$command_line" -le 200000 ] || { echo "The packed command line has $command_line bytes; at most 200,000 are allowed." >&2; exit 1; }
node test/package/readme-program.mjs "$root/README.md" > "$project/first.ts"

cd "$project"
npm init --yes >/dev/null
npm pkg set type=module >/dev/null
npm install --silent --no-audit --no-fund ./holdfast-*.tgz "typescript@$(node -p "require('$root/node_modules/typescript/package.json').version")" \
  "@types/node@$(node -p "require('$root/node_modules/@types/node/package.json').version")"
npx tsc --strict --target es2022 --module nodenext --moduleResolution nodenext --types node --outDir . first.ts
timeout 60 node first.js
timeout 60 node --input-type=module -e "
  const { ManualClock, openInMemory } = await import('holdfast/testing')
  const holdfast = await openInMemory({ clock: new ManualClock() })
  await holdfast.close()
  await import('holdfast/store').then(() => { throw new Error('internals are exported') }, (error) => {
    if (error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error
  })
"
# A debugger, a stack trace and an editor find the source: each map names a file that the package contains. The command line,
# an application, is packed without its source.
node -e "
  const { existsSync, readdirSync, readFileSync } = require('node:fs')
  const { dirname, join } = require('node:path')
  const dist = 'node_modules/holdfast/dist'
  const files = readdirSync(dist, { recursive: true })
  const maps = files.filter((file) => file.endsWith('.map'))
  const without = files.filter((file) => /(\\.js|^index\\.d\\.ts)\$/.test(file) && !file.startsWith('cli/') && !maps.includes(file + '.map'))
  const lost = maps.filter((map) => {
    const { sources } = JSON.parse(readFileSync(join(dist, map), 'utf8'))
    return !sources.every((source) => source.includes('src/cli/') || existsSync(join(dist, dirname(map), source)))
  })
  if (maps.length === 0 || without.length + lost.length > 0) throw new Error('Without a map or its source: ' + [...without, ...lost])
"
echo "The package installs and runs in a project of its own, with types."
