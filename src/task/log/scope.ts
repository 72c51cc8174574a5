/**
 * Scopes. A scope is the path of the branches that a call is made in. The body itself is the empty scope.
 * `race#1.timeout` is the branch `timeout` of its first race, and `race#1.timeout/all#1.a` is a branch inside that
 * branch.
 */

/** The scope of a branch of the `number`-th call of its kind in `scope`. */
export function branchScope(scope: string, kind: string, number: number, branch: string): string {
  return `${groupOf(scope, kind, number)}${encodeURIComponent(branch)}`
}

/** The common start of the scopes of all branches of one call. */
function groupOf(scope: string, kind: string, number: number): string {
  return `${scope === '' ? '' : `${scope}/`}${kind}#${number}.`
}

/** True if `scope` is `outer`, or is inside it. */
export function isWithin(scope: string, outer: string): boolean {
  return outer === '' || scope === outer || scope.startsWith(`${outer}/`)
}

/** A scope on the path to an inner scope, and the call that leads there. The call is empty at the end of the path. */
export interface ScopeLevel {
  readonly scope: string
  readonly call: string
}

const BODY: readonly ScopeLevel[] = [{ scope: '', call: '' }]

/** The scopes on the path to `scope`: the body itself first, `scope` itself last. */
export function levelsOf(scope: string): readonly ScopeLevel[] {
  if (scope === '') return BODY
  const levels: ScopeLevel[] = []
  for (let from = 0; from < scope.length; ) {
    const slash = scope.indexOf('/', from)
    // The first dot ends `kind#number`. The encoded name of the branch after it may have dots of its own.
    const call = scope.slice(from, scope.indexOf('.', from))
    levels.push({ scope: scope.slice(0, Math.max(0, from - 1)), call })
    from = slash < 0 ? scope.length : slash + 1
  }
  levels.push({ scope, call: '' })
  return levels
}
