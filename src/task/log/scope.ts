/**
 * Scopes: the path of open branches that an ask stands in. The body itself is the empty scope; `race#1.timeout` is the
 * branch `timeout` of its first race, `race#1.timeout/all#1.a` a branch inside that.
 */

/** The scope of a branch of the `number`-th call of its kind in `scope`. */
export function branchScope(scope: string, kind: string, number: number, branch: string): string {
  return `${groupOf(scope, kind, number)}${encodeURIComponent(branch)}`
}

/** What the scopes of all branches of one call begin with. */
export function groupOf(scope: string, kind: string, number: number): string {
  return `${scope === '' ? '' : `${scope}/`}${kind}#${number}.`
}

/** True if `scope` is `outer`, or lies in it. */
export function isWithin(scope: string, outer: string): boolean {
  return outer === '' || scope === outer || scope.startsWith(`${outer}/`)
}

/** A scope on the way to another one, and the call in it that leads there: none at the end of the way. */
export interface ScopeLevel {
  readonly scope: string
  readonly call: string
}

const BODY: readonly ScopeLevel[] = [{ scope: '', call: '' }]

/** The scopes on the way to `scope`: the body itself first, `scope` itself last. */
export function levelsOf(scope: string): readonly ScopeLevel[] {
  if (scope === '') return BODY
  const levels: ScopeLevel[] = []
  for (let from = 0; from < scope.length; ) {
    const slash = scope.indexOf('/', from)
    // A branch's name is encoded, and may hold dots of its own; `kind#number` before it has none.
    const call = scope.slice(from, scope.indexOf('.', from))
    levels.push({ scope: scope.slice(0, Math.max(0, from - 1)), call })
    from = slash < 0 ? scope.length : slash + 1
  }
  levels.push({ scope, call: '' })
  return levels
}
