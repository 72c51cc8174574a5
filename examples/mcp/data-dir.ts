/** Where the example keeps its store when nobody says: the user's own data folder, never the working directory. */
import { homedir } from 'node:os'
import { join } from 'node:path'

/** MCP clients start servers from anywhere, often from `/`. */
export function userDataDir(name: string): string {
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', name)
  if (process.platform === 'win32')
    return join(process.env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'), name)
  return join(process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), name)
}
