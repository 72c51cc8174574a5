/** Replaces what differs from run to run and from machine to machine: IDs, instants, processes, sizes. */

/**
 * Makes the function. Each ID gets a number in the order of its first occurrence, and keeps it.
 * @param paths pairs of a path of this run and of the text that stands for it
 */
export function steadyText(paths: readonly (readonly [from: string, to: string])[]): (text: string) => string {
  const ids = new Map<string, string>()
  const idOf = (id: string) => {
    // Of the same length, so that columns stay in their places.
    const made = ids.get(id) ?? `01KAMPLE${String(ids.size + 1).padStart(id.length - 8, '0')}`
    ids.set(id, made)
    return made
  }
  return (text) => {
    let steady = text
    for (const [from, to] of paths) steady = steady.replaceAll(from, to)
    for (const [pattern, to] of REPLACED) steady = steady.replace(pattern, to)
    return steady.replace(/[0-9A-HJKMNP-TV-Z]{26,}/g, idOf)
  }
}

const REPLACED: readonly (readonly [RegExp, string])[] = [
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '2026-01-31T12:00:00.000Z'],
  [/("\w+At":)\d{13}/g, '$11769860800000'],
  [/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '0b7e9d52-4f1c-4c57-9d0e-3f7f1a2b6c84'],
  [/\b[0-9a-f]{64}\b/g, '6f1a'.repeat(16)],
  [/--cursor \S+/g, '--cursor MTIzNDU2Nzg5MA'],
  [/cli: \S+/g, 'cli: ann'],
  // Numbers of commits, of their records and of bytes depend on which writes share a batch.
  [/commit \d+/g, 'commit 46'],
  [/^commit( +)\d+$/gm, 'commit$146'],
  [/\d+ records/g, '182 records'],
  [/^(bytes\.\S+|disk\.\S+|\S*mean\w*CompletionMs)(\s+)[\d.]+/gm, '$1$21048576'],
  [/has \d+ bytes of tables now, and had \d+/g, 'has 1048576 bytes of tables now, and had 4194304'],
  [/process \d+ on \S+/g, 'process 4242 on server-1'],
  [/Node \d+\.\d+\.\d+/g, 'Node 22.2.0'],
  [/loads on \S+/g, 'loads on linux-x64'],
  [/^permissions\t.*$/gm, 'permissions\tok\towner uid 1000, mode 700, this process uid 1000\t-'],
  [/^file system\t.*$/gm, 'file system\tok\ttype 0xef53, writes and syncs\t-'],
  [/^free space\t.*$/gm, 'free space\tok\t79223 MiB free\t-'],
]
