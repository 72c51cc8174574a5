/** Which of Node's own arguments an isolated process inherits: those that say how modules are loaded, such as a loader for TypeScript. */

// They name another program, or would make the child listen, watch or test as its parent does.
const NOT_FOR_CHILDREN =
  /^(-[epci]|-pe|--(eval|print|check|interactive|input-type|inspect|debug|watch|test|cpu-prof|heap-prof|max-old-space-size|stack-trace-limit).*)$/

/** The arguments of a child that may use so much memory. */
export function childArguments(own: readonly string[], memoryMb: number): string[] {
  let isKept = true
  const kept = own.filter((argument) => {
    // A value that is an argument of its own goes with its option; Node takes none that begins with a dash.
    if (argument.startsWith('-')) isKept = !NOT_FOR_CHILDREN.test(nameOf(argument))
    return isKept
  })
  // JavaScript's own part of the memory: without this a large limit would be of no use, and a small one be no reason to tidy up.
  return [...kept, `--max-old-space-size=${memoryMb}`]
}

/** The option's name, as Node understands it: an underscore is a dash. */
function nameOf(argument: string): string {
  return argument.replace(/=.*/s, '').replaceAll('_', '-')
}
