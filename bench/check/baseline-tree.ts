/** The project as it was at another commit, built, in a folder of its own. */
import { execFile } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Checks out and builds `commit` in `folder`, unless that has been done before.
 * @throws Error if the history that is here does not hold the commit, as in a shallow clone
 */
export async function buildTree(project: string, commit: string, folder: string): Promise<void> {
  if (existsSync(`${folder}/dist/index.js`)) return
  rmSync(folder, { recursive: true, force: true })
  const git = (...options: string[]) => run('git', options, { cwd: project })
  await git('cat-file', '-e', `${commit}^{commit}`).catch((cause: unknown) => {
    throw new Error(`Commit ${commit} is not in this clone. Fetch the whole history: git fetch --unshallow`, { cause })
  })
  await git('worktree', 'prune')
  await git('worktree', 'add', '--detach', '--force', folder, commit)
  await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder })
  await run('npm', ['run', 'build'], { cwd: folder })
}
