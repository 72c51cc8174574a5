/**
 * Builds dist: one JavaScript file for each entry and a few that they share, with maps to src; the declarations that the
 * entries reach; and the files that are started as processes of their own. Usage: `npm run build`.
 *
 * One file loads in less than half of the time that a file for each of its 180 modules needs.
 */
import { chmodSync, copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { buildDeclarations, entriesOf, ROOT } from './declarations.js'
import { lineMapOf } from './line-map.js'

const DIST = join(ROOT, 'dist')
// Files that run in a process or a thread of their own, and the ones that they import.
const STARTED = /\.mjs$/
// Some packages of the command line call `require`.
const REQUIRE = "import{createRequire}from'node:module';const require=createRequire(import.meta.url);"

// The packages of the command line are in a file of their own, which is built below.
const commandPackages: Plugin = {
  name: 'command-packages',
  setup: ({ onResolve }) => {
    onResolve({ filter: /\/packages\.js$/ }, () => ({ path: './packages.js', external: true }))
  },
}

rmSync(DIST, { recursive: true, force: true })
buildDeclarations(DIST)
const { metafile } = await build({
  absWorkingDir: ROOT,
  entryPoints: [
    ...entriesOf(ROOT).map((entry) => ({ in: `src/${entry}.ts`, out: entry })),
    // Started as a process of its own (src/admin/run-job.ts).
    { in: 'src/admin/worker.ts', out: 'admin-worker' },
  ],
  outdir: DIST,
  chunkNames: 'shared-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.15',
  packages: 'external',
  plugins: [commandPackages],
  tsconfig: 'tsconfig.build.json',
  // Without comments and indentation. Names stay, and lines are short enough for a stack trace without the maps.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  sourcemap: true,
  sourcesContent: false,
  metafile: true,
  logLevel: 'warning',
})

// So that an application installs no further packages. `zod` is one of its packages already.
await build({
  absWorkingDir: ROOT,
  entryPoints: ['src/cli/terminal/packages.ts'],
  outfile: join(DIST, 'cli/packages.js'),
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.15',
  external: ['zod'],
  // The SDK then has its small validator, which compiles no code. No tool of the command line needs more.
  conditions: ['workerd'],
  banner: { js: REQUIRE },
  minify: true,
  logLevel: 'warning',
})
chmodSync(join(DIST, 'cli/main.js'), 0o755)

for (const path of Object.keys(metafile.outputs).filter((path) => path.endsWith('.map'))) {
  const file = join(ROOT, path)
  writeFileSync(file, lineMapOf(readFileSync(file, 'utf8')))
}

// The shared files name the started ones with `new URL('./…', import.meta.url)`, so all of them are in dist itself.
const started = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((path) =>
  STARTED.test(path),
)
for (const path of started) copyFileSync(join(ROOT, 'src', path), join(DIST, basename(path)))
for (const [output, { inputs }] of Object.entries(metafile.outputs)) {
  const starters = Object.keys(inputs).filter((path) => started.some((one) => dirname(path) === `src/${dirname(one)}`))
  if (starters.length > 0 && dirname(output) !== 'dist')
    throw new Error(`${starters[0]} has to be in dist, not in ${output}`)
}
