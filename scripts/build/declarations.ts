/**
 * Builds the declarations of the package: the files that an entry reaches through its imports, and no others. A file from
 * which no entry exports a name has no map. Such files of the engine and the store have no comments either.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

// Folders whose types no caller holds.
const INTERNAL = /^(engine|store|operator\/(contract|server)|mcp\/rev-[^/]*\/(server|http)|task\/(log|decisions))\//

/** Source files of the `exports` and of the commands of package.json, below src: `mcp/rev-2025-11-25/index`. */
export function entriesOf(root: string): string[] {
  const { exports, bin = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { default: string }>
    bin?: Record<string, string>
  }
  const files = [...Object.values(exports), ...Object.values(bin)]
  return files.flatMap((target) => {
    const file = typeof target === 'string' ? target : target.default
    return /^(?:\.\/)?dist\/(.*)\.js$/.exec(file)?.[1] ?? []
  })
}

/** Writes the declarations, with their maps, to `outDir`. @throws Error if the source has an error of its types */
export function buildDeclarations(outDir: string): void {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc')
  const options = ['-p', join(ROOT, 'tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', outDir]
  execFileSync(process.execPath, [compiler, ...options], { stdio: ['ignore', 2, 2] })
  const libraries = entriesOf(ROOT).filter((entry) => !entry.startsWith('cli/'))
  const entries = libraries.map((entry) => join(outDir, `${entry}.d.ts`))
  const reached = new Set<string>()
  const reach = (file: string) => {
    if (reached.has(file) || !existsSync(file)) return
    reached.add(file)
    // The compiler writes an inferred type as `import("…")`, with double quotes.
    for (const target of targetsOf(file, /(?:from|import)\s*\(?["'](\.[^"']+)["']/g)) reach(target)
  }
  for (const entry of entries) reach(entry)
  const named = new Set([...entries, ...entries.flatMap((entry) => targetsOf(entry, /^export[^;]*from '(\.[^']+)'/gm))])
  for (const path of readdirSync(outDir, { recursive: true, encoding: 'utf8' })) {
    const file = join(outDir, path)
    if (!/\.d\.m?ts$/.test(path) || named.has(file)) continue
    rmSync(`${file}.map`)
    if (reached.has(file))
      writeFileSync(file, withoutMap(file, INTERNAL.test(relative(outDir, file).replaceAll(sep, '/'))))
    else rmSync(file)
  }
}

/** Declarations that the import specifiers of a declaration file lead to. */
function targetsOf(file: string, specifiers: RegExp): string[] {
  const found = [...readFileSync(file, 'utf8').matchAll(specifiers)]
  return found.map(([, from = '']) => resolve(dirname(file), from.replace(/\.(m?)js$/, '.d.$1ts')))
}

function withoutMap(file: string, withoutComments: boolean): string {
  const text = readFileSync(file, 'utf8').replace(/\/\/# sourceMappingURL=.*\n?/, '')
  return withoutComments ? text.replace(/^[ \t]*\/\*\*[\s\S]*?\*\/\n?/gm, '') : text
}
