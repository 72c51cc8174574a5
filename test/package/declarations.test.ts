// Goal: an application that checks declarations of its packages, and has no types of Node, finds no error in ours, with the
// oldest and the newest TypeScript; and it reaches no class that is not exported.
// Method: the declarations are built as for publishing. A program that exports all of each entry is checked by each `tsc`, and
// every type that the exports name is followed.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript-5'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildDeclarations } from '../../scripts/build/declarations.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tscOf = (name: string) => join(root, 'node_modules', name, 'bin/tsc')
const home = mkdtempSync(join(tmpdir(), 'holdfast-declarations-'))
const ours = join(home, 'node_modules/holdfast')
const program = join(home, 'program.ts')
const EVENTS = fileURLToPath(new URL('../../src/base/events.ts', import.meta.url))
const OPTIONS = { target: 'ES2022', module: 'NodeNext', types: [], strict: true, skipLibCheck: false, noEmit: true }

beforeAll(() => {
  mkdirSync(ours, { recursive: true })
  for (const name of ['@modelcontextprotocol', '@opentelemetry', 'zod']) {
    symlinkSync(join(root, 'node_modules', name), join(home, 'node_modules', name), 'dir')
  }
  buildDeclarations(join(ours, 'dist'))
  cpSync(join(root, 'package.json'), join(ours, 'package.json'))
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object }
  const entries = Object.keys(exports).filter((entry) => !entry.endsWith('.json'))
  expect(entries).toHaveLength(7)
  const lines = entries.map((entry, n) => `export * as entry${n} from '${entry.replace('.', 'holdfast')}'`)
  writeFileSync(program, `${lines.join('\n')}\n`)
  writeFileSync(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions: OPTIONS, files: ['program.ts'] }))
}, 120_000)
afterAll(() => rmSync(home, { recursive: true, force: true }))

test.each([
  ['typescript-5', '5.9'],
  ['typescript', '7.'],
])(
  'the declarations of every entry have no error without types of Node, checked by %s',
  (name, version) => {
    expect(spawnSync(process.execPath, [tscOf(name), '--version'], { encoding: 'utf8' }).stdout).toContain(
      ` ${version}`,
    )
    const { stdout } = spawnSync(process.execPath, [tscOf(name), '-p', home], { encoding: 'utf8', cwd: home })
    // The SDK of 2026-07-28 has an error of its own, which shows that its declarations were read.
    const errors = stdout.split('\n').filter((line) => line.includes('error TS'))
    expect(errors.filter((line) => !line.includes('@modelcontextprotocol/server/'))).toEqual([])
    expect(errors.join()).toContain("Cannot find name 'Buffer'")
  },
  120_000,
)

test('no class is reached from an entry that is not exported by one', () => {
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, types: [], strict: true }
  const checker = ts.createProgram([program], options)
  const types = checker.getTypeChecker()
  const real = (symbol: ts.Symbol) => (symbol.flags & ts.SymbolFlags.Alias ? types.getAliasedSymbol(symbol) : symbol)
  const isOurs = (node: ts.Node) => node.getSourceFile().fileName.includes(`${sep}holdfast${sep}dist${sep}`)
  const exported = new Set<ts.Symbol>()
  const source = checker.getSourceFile(program) as ts.SourceFile
  for (const entry of types.getExportsOfModule(types.getSymbolAtLocation(source) as ts.Symbol)) {
    for (const symbol of types.getExportsOfModule(real(entry))) exported.add(real(symbol))
  }
  const reached = new Set(exported)
  const visit = (node: ts.Node): void => {
    const symbol = ts.isIdentifier(node) ? types.getSymbolAtLocation(node) : undefined
    if (symbol) reached.add(real(symbol))
    ts.forEachChild(node, visit)
  }
  // A set hands out what is added while it is walked.
  for (const symbol of reached) for (const node of symbol.declarations ?? []) if (isOurs(node)) visit(node)
  const classes = [...reached].filter(({ flags, declarations = [] }) => {
    return flags & ts.SymbolFlags.Class && declarations.some(isOurs)
  })
  const names = (symbols: readonly ts.Symbol[]) => symbols.map(({ name }) => name).sort()
  expect(names(classes)).toContain('Holdfast')
  expect(names(classes.filter((symbol) => !exported.has(symbol)))).toEqual([])
}, 120_000)

test('each event and each field of its payload has a doc comment', () => {
  const source = ts.createSourceFile('events.ts', readFileSync(EVENTS, 'utf8'), ts.ScriptTarget.Latest, true)
  const events = source.statements.find(
    (one): one is ts.InterfaceDeclaration => ts.isInterfaceDeclaration(one) && one.name.text === 'HoldfastEvents',
  )
  const undocumented: string[] = []
  // Every payload has these two, and they are explained once.
  const documented = new Set(['taskId', 'type'])
  const look = (member: ts.Node, path: string): void => {
    if (!ts.isPropertySignature(member)) return
    const name = member.name.getText()
    const isKnown = path !== '' && documented.has(name)
    if (!isKnown && ts.getJSDocCommentsAndTags(member).length === 0) undocumented.push(path + name)
    if (member.type && ts.isTypeLiteralNode(member.type))
      for (const field of member.type.members) look(field, `${name}.`)
  }
  for (const member of events?.members ?? []) look(member, '')
  expect(events?.members.length).toBeGreaterThan(5)
  expect(undocumented).toEqual([])
})
