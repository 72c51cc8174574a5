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

/** Whether `scope` is `outer`, or lies in it. */
export function isWithin(scope: string, outer: string): boolean {
  return outer === '' || scope === outer || scope.startsWith(`${outer}/`)
}

/** Whether two scopes lie in different branches of the same call. */
export function areSiblings(one: string, other: string): boolean {
  const ones = one.split('/')
  const others = other.split('/')
  const at = ones.findIndex((part, index) => part !== others[index])
  const [left, right] = [ones[at], others[at]]
  return left !== undefined && right !== undefined && callOf(left) === callOf(right)
}

// A branch's name is encoded and holds no dot of its own that would come first: `kind#number` has none.
function callOf(part: string): string {
  return part.slice(0, part.indexOf('.'))
}
