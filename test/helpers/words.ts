/** The words that the glossary of docs/concepts.md replaces, each with what to write instead. */
export const AVOIDED: readonly (readonly [RegExp, string])[] = [
  [/\b(take|takes|took|taken|taking)( \w+)? up\b/i, 'resume, restore'],
  [/\b(go|goes|going|went) on\b/i, 'continue'],
  [/\b(tell|tells|told|say|says|said|hear|hears|heard)\b/i, 'notify, return, report, show'],
  [/\bbeside\b/i, 'stored with, stored under'],
  [/\bof late\b|\blately\b|\bpace\b/i, 'recently, recent throughput'],
  [/\b(nobody|anybody|somebody|everybody|whoever|whatever|anyone|someone)\b/i, 'caller, client, owner, task'],
  [/\b(dies|died|die of|dead|deaths?)\b/i, 'crash'],
  [/\b(a|the|its) (life|lives)\b/i, 'opening'],
  [/\b(let|lets) go\b/i, 'unload, release, delete'],
  [/\bundertak\w+|\bhow-manieth\b|\bmend\w*\b|\beras?\b/i, 'run, index, fix, revision'],
]

/** Where a text uses a word to avoid, and what to write instead. Code is not read. */
export function wordsToAvoid(text: string, where: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, '')).replace(/`[^`\n]*`/g, '``')
  return prose.split('\n').flatMap((line, index) =>
    AVOIDED.flatMap(([word, instead]) => {
      const hit = word.exec(line)?.[0]
      return hit ? [`${where}:${index + 1}: '${hit}': write ${instead}`] : []
    }),
  )
}
