/** Which of Node's own arguments an isolated process inherits: those that say how modules are loaded, such as a loader for TypeScript. */

// They name another program, or would make the child listen, watch or test as its parent does.
const NOT_FOR_CHILDREN =
  /^--(input-type|inspect|debug|watch|test|cpu-prof|heap-prof|max-old-space-size|stack-trace-limit)/
const WITH_PROGRAM = ['-e', '--eval', '-p', '--print', '-pe', '-c', '--check']

/** The arguments of a child that may use so much memory. */
export function childArguments(own: readonly string[], memoryMb: number): string[] {
  const kept: string[] = []
  for (let at = 0; at < own.length; at++) {
    const argument = own[at] as string
    if (WITH_PROGRAM.includes(argument)) at++
    else if (!NOT_FOR_CHILDREN.test(argument) && !argument.startsWith('--eval=')) kept.push(argument)
  }
  // JavaScript's own part of the memory: without this a large limit would be of no use, and a small one be no reason to tidy up.
  return [...kept, `--max-old-space-size=${memoryMb}`]
}
