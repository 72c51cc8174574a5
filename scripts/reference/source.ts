/**
 * Reads what the package exports: names, doc comments, members and log lines, as data for the pages.
 * Finds the files by the `exports` of package.json, so that a file of src may move. Uses the compiler interface of TypeScript 7,
 * which is called unstable: only this file imports it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type ClassDeclaration,
  type InterfaceDeclaration,
  isCallExpression,
  isClassDeclaration,
  isFunctionDeclaration,
  isInterfaceDeclaration,
  isPropertyAccessExpression,
  isTypeAliasDeclaration,
  isVariableDeclaration,
  type Node,
} from 'typescript/unstable/ast'
import { API, type Project, SymbolFlags } from 'typescript/unstable/sync'

/** A doc comment, without its stars. */
export interface Doc {
  readonly text: string
  /** The tags in their order, such as `['throws', 'TypeError for anything else']`. */
  readonly tags: readonly (readonly [name: string, text: string])[]
}

/** A property or a method of an exported type. */
export interface Member {
  readonly name: string
  readonly isOptional: boolean
  /** True if the member is called with arguments. */
  readonly isMethod: boolean
  /** The type of a property, or the whole signature of a method. */
  readonly type: string
  readonly doc: Doc
  /** Members of a property whose type is written out in place. */
  readonly members: readonly Member[]
}

/** A name that an entry of the package exports. */
export interface Export {
  readonly name: string
  readonly kind: 'class' | 'interface' | 'type' | 'function' | 'value'
  /** The declaration without its members and its body. */
  readonly signature: string
  readonly doc: Doc
  readonly members: readonly Member[]
}

/** What one entry exports, such as `holdfast/testing`, by name. */
export interface Entry {
  readonly name: string
  readonly doc: Doc
  readonly exports: readonly Export[]
}

/** A line that the library may log. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: readonly string[]
}

export interface Source {
  readonly entries: readonly Entry[]
  readonly logLines: readonly LogLine[]
}

/** Reads the package in `root`. */
export function readSource(root: string): Source {
  const api = new API({ cwd: root })
  try {
    const snapshot = api.updateSnapshot({ openProjects: [join(root, 'tsconfig.build.json')] })
    const project = snapshot.getProjects()[0]
    if (!project) throw new Error('TypeScript found no project in tsconfig.build.json')
    return { entries: entriesOf(root, project), logLines: logLinesOf(project) }
  } finally {
    api.close()
  }
}

function entriesOf(root: string, project: Project): Entry[] {
  const { name, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return Object.entries<{ default?: string }>(exports).flatMap(([path, target]) => {
    if (!target.default) return []
    const file = join(root, target.default.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts'))
    const source = project.program.getSourceFile(file)
    const symbol = source && project.checker.getSymbolAtLocation(source)
    if (!source || !symbol) throw new Error(`${file} exports nothing`)
    const names = project.checker.getExportsOfModule(symbol).map((exported) => exportOf(project, exported))
    names.sort((a, b) => compare(a.name, b.name))
    const head = /^\/\*\*[\s\S]*?\*\//.exec(source.text)?.[0] ?? ''
    return [{ name: `${name}${path.slice(1)}`, doc: parseDoc(head), exports: names }]
  })
}

type Exported = ReturnType<Project['checker']['getExportsOfModule']>[number]

function exportOf(project: Project, exported: Exported): Export {
  const { checker } = project
  const symbol = exported.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
  const nodes = symbol.declarations.map((handle) => handle.resolve(project)).filter((node) => node !== undefined)
  const [node] = nodes
  if (!node) throw new Error(`${exported.name} is declared nowhere`)
  const { name } = exported
  if (isInterfaceDeclaration(node)) {
    return { name, kind: 'interface', signature: headOf(node), doc: docOf(node), members: withBases(project, node) }
  }
  if (isClassDeclaration(node)) {
    return { name, kind: 'class', signature: headOf(node), doc: docOf(node), members: withBases(project, node) }
  }
  if (isTypeAliasDeclaration(node)) {
    return { name, kind: 'type', signature: node.getText(), doc: docOf(node), members: [] }
  }
  if (isFunctionDeclaration(node)) {
    const overloads = nodes.filter((each) => isFunctionDeclaration(each) && !each.body)
    const shown = overloads.length > 0 ? overloads : [node]
    const documented = nodes.find((each) => docOf(each).text !== '') ?? node
    return { name, kind: 'function', signature: shown.map(headOf).join('\n'), doc: docOf(documented), members: [] }
  }
  if (isVariableDeclaration(node)) {
    const type = checker.getTypeAtLocation(node)
    const shown = type ? checker.typeToString(type) : 'unknown'
    const isShort = shown.length < 200
    // The comment of a variable is that of its statement.
    const statement = node.parent.parent
    return {
      name,
      kind: 'value',
      signature: `const ${name}${isShort ? `: ${shown}` : ''}`,
      doc: docOf(statement),
      members: [],
    }
  }
  throw new Error(`${name} is a declaration of an unknown kind`)
}

/** The members of a class or an interface, with those of its bases first for an interface, and last for a class. */
function withBases(project: Project, node: ClassDeclaration | InterfaceDeclaration): Member[] {
  const { checker } = project
  const bases = (node.heritageClauses ?? []).flatMap((clause) => clause.types.map((type) => type.expression))
  const own = membersOf(node.members)
  const inherited = bases.flatMap((base) => {
    const found = checker.getSymbolAtLocation(base)
    return found ? exportOf(project, found).members : []
  })
  const others = inherited.filter((each) => !own.some((mine) => mine.name === each.name))
  return isClassDeclaration(node) ? [...own, ...others] : [...others, ...own]
}

function membersOf(nodes: readonly Node[]): Member[] {
  const members: Member[] = []
  for (const node of nodes) {
    const text = node.getText()
    const doc = docOf(node)
    const isHidden = /^(private|protected|declare|#|static #|readonly #|async #|get #)/.test(text)
    if (isHidden || doc.tags.some(([tag]) => tag === 'internal')) continue
    if (/^constructor\b/.test(text)) {
      members.push({ name: 'constructor', isOptional: false, isMethod: true, type: headOf(node), doc, members: [] })
      // A parameter that is a property too.
      const { parameters } = node as unknown as { parameters: readonly Node[] }
      members.push(...membersOf(parameters.filter((each) => /^(public |readonly )/.test(each.getText()))))
      continue
    }
    const { name, type, questionToken, postfixToken } = node as unknown as Record<string, Node | undefined>
    if (!name) continue
    const isMethod = (node as unknown as { parameters?: unknown }).parameters !== undefined && !/^get /.test(text)
    const isOptional = (questionToken ?? postfixToken) !== undefined
    // An implementation behind overloads is not part of the type.
    const named = members.filter((each) => each.name === name.getText())
    if (named.length > 0 && (node as unknown as { body?: Node }).body) continue
    const inner = (type as unknown as { members?: readonly Node[] } | undefined)?.members
    members.push({
      name: name.getText(),
      isOptional,
      isMethod,
      type: isMethod ? headOf(node) : (type?.getText() ?? text.replace(/^(override |readonly )*/, '')),
      doc,
      members: inner ? membersOf(inner) : [],
    })
  }
  return members
}

/** The text of a declaration up to its members or its body. */
function headOf(node: Node): string {
  const text = node.getText()
  const { body, members } = node as unknown as { body?: Node; members?: { pos: number } }
  const end = body ? body.pos : members ? members.pos - 1 : undefined
  const head = end === undefined ? text : text.slice(0, end - (node.end - text.length))
  return head
    .replace(/\/\*\*[\s\S]*?\*\/\s*/g, '')
    .replace(/^export (declare )?/, '')
    .replace(/^(override |async |static async )+/, (words) => (words.includes('static') ? 'static ' : ''))
    .trim()
}

function docOf(node: Node): Doc {
  const last = node.jsDoc?.at(-1)
  return parseDoc(last ? last.getText() : '')
}

/** Parses a doc comment, given with its stars. */
export function parseDoc(comment: string): Doc {
  const lines = comment
    .replace(/^\/\*\*?|\*\/$/g, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trimEnd())
  const text: string[] = []
  const tags: [string, string][] = []
  for (const line of lines) {
    const [, tag, rest = ''] = /^\s*@(\w+)\s*(.*)$/.exec(line) ?? []
    const last = tags.at(-1)
    if (tag) tags.push([tag, rest])
    else if (last) last[1] += `\n${line}`
    else text.push(line)
  }
  return { text: text.join('\n').trim(), tags: tags.map(([tag, said]) => [tag, said.trim()] as const) }
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** Every call of a logger whose message is written in the source. */
function logLinesOf(project: Project): LogLine[] {
  const lines = new Map<string, LogLine>()
  const visit = (node: Node, file: string) => {
    node.forEachChild((child) => visit(child, file))
    if (!isCallExpression(node) || !isPropertyAccessExpression(node.expression)) return
    const { expression: receiver, name } = node.expression
    const on = receiver.getText()
    const [first, second, third] = node.arguments
    const isLogger = /\b(logger|log)$/i.test(on)
    const level = LEVELS.find((each) => each === name.text) ?? LEVELS.find((each) => first?.getText() === `'${each}'`)
    const isWrite = name.text === 'write' && /^(this|.*lines)$/.test(on)
    if (!level || !(isLogger || isWrite)) return
    const fields = fieldsOf(isWrite ? third : second)
    for (const message of messagesOf(isWrite ? second : first, file)) {
      const known = lines.get(`${level} ${message}`)
      lines.set(`${level} ${message}`, { level, message, fields: known ? union(known.fields, fields) : fields })
    }
  }
  for (const file of project.program.getSourceFileNames()) {
    const source = /\/node_modules\//.test(file) ? undefined : project.program.getSourceFile(file)
    if (source) visit(source, source.text)
  }
  const order = (line: LogLine) => LEVELS.indexOf(line.level)
  return [...lines.values()].sort((a, b) => order(b) - order(a) || compare(a.message, b.message))
}

function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])]
}

/** The texts of an argument: its own, or those of the constant or the function of the same file that it names. */
function messagesOf(argument: Node | undefined, file: string): string[] {
  const text = argument?.getText() ?? ''
  const own = literals(text)
  if (own.length > 0) return own
  const [name = ''] = /^\w+/.exec(text) ?? []
  const [, initial = ''] =
    new RegExp(`\\bconst ${name} =([\\s\\S]*?)\\n\\s*(?:this|engine|const|logger|if|return)\\b`).exec(file) ?? []
  // A function, exported or not: the literals that it returns, and the example in its doc comment.
  const [, comment = '', body = ''] =
    new RegExp(`/\\*\\*([^/]*)\\*/\\s*(?:export )?function ${name}\\([\\s\\S]*?\\{\\n([\\s\\S]*?)\\n\\}`).exec(file) ??
    []
  const returned = [...body.matchAll(/return ('[^']*')$/gm)].flatMap(([, said]) => literals(said as string))
  const [, example] = /such as `([^`]+)`/.exec(comment) ?? []
  return [...literals(initial), ...returned, ...(example ? [example] : [])]
}

/** The strings that make up an expression; what a template fills in is shown as `<name>`. */
function literals(expression: string): string[] {
  const found = expression.match(/^\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`((?:[^`\\]|\\.)*)`)/)
  const said = found?.[1] ?? found?.[2] ?? found?.[3]
  if (said === undefined) return []
  return [
    said
      .replace(/\\(['`])/g, '$1')
      .replace(/\$\{((?:[^{}]|\{[^}]*\})*)\}/g, (_, inner: string) => `<${/(\w+)\W*$/.exec(inner)?.[1] ?? ''}>`),
  ]
}

/** The names of the fields of an object literal. */
function fieldsOf(argument: Node | undefined): string[] {
  const { properties } = (argument ?? {}) as unknown as { properties?: readonly { name?: Node }[] }
  return (properties ?? []).flatMap(({ name }) => (name ? [name.getText()] : []))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
