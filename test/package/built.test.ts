// Goal: the built package loads few files, starts the files of its own processes, and has a map and the source of each line.
// Method: reads dist, which `npm test` has built, and runs an isolated step of it in a process without TypeScript.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = join(root, 'dist')
// Without the packages of the command line, which are not ours.
const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter(
  (path) => /\.m?js$/.test(path) && path !== join('cli', 'packages.js'),
)

/** The files that the import of a file loads, itself included. What it may load later is not among them. */
function loadedBy(path: string, loaded = new Set<string>()): Set<string> {
  if (loaded.has(path)) return loaded
  loaded.add(path)
  const text = readFileSync(join(dist, path), 'utf8')
  for (const [, from = ''] of text.matchAll(/(?:from|import)\s*"(\.[^"]+\.js)"/g)) {
    loadedBy(join(dirname(path), from), loaded)
  }
  return loaded
}

test('an entry loads few files: itself, and what it shares with other entries', () => {
  const entries = files.filter((path) => path.endsWith('index.js'))
  expect(entries.length).toBeGreaterThanOrEqual(6)
  const counts = entries.map((path) => [path, loadedBy(path).size] as const)
  // There are some 200 modules. What is loaded later (the operator API, the copies of a store) is in files of its own.
  expect(counts.filter(([, count]) => count > 24)).toEqual([])
  expect(loadedBy('index.js').size).toBeGreaterThan(1)
})

test('only the entry for OpenTelemetry loads its API', () => {
  const loads = (path: string) => /["']@opentelemetry\//.test(readFileSync(join(dist, path), 'utf8'))
  expect(files.filter(loads)).toEqual([join('otel', 'index.js')])
  const others = files.filter((path) => path.endsWith('index.js') && !path.startsWith('otel'))
  expect(others.filter((path) => loadedBy(path).has(join('otel', 'index.js')))).toEqual([])
})

test('each file that is started or imported by its address is there', () => {
  const addresses = files.flatMap((path) => {
    const text = readFileSync(join(dist, path), 'utf8')
    const named = [
      ...text.matchAll(/new URL\(\s*['"](\.[^'"]+\.mjs)['"],\s*import\.meta\.\s*url|from\s*['"](\.[^'"]+)['"]/g),
    ]
    return named.map(([, started, imported]) => join(dist, dirname(path), (started ?? imported) as string))
  })
  expect(addresses.filter((path) => path.endsWith('.mjs')).length).toBeGreaterThanOrEqual(4)
  expect(addresses.filter((path) => !existsSync(path))).toEqual([])
})

test('each line of the library has a map to a file of src', () => {
  for (const path of files.filter((path) => path.endsWith('.js'))) {
    const { sources } = JSON.parse(readFileSync(join(dist, `${path}.map`), 'utf8')) as { sources: string[] }
    const found = sources.map((source) => join(dist, dirname(path), source))
    expect(found.filter((source) => !existsSync(source) || !source.startsWith(join(root, 'src')))).toEqual([])
  }
})

test('a stack trace names the file and the line of src', () => {
  const program = `
    import { defineTask } from ${JSON.stringify(pathToFileURL(join(dist, 'index.js')).href)}
    try { defineTask({ name: '' }, () => {}) } catch (error) { console.log(error.stack) }`
  const options = ['--enable-source-maps', '--input-type=module', '-e', program]
  const stack = execFileSync(process.execPath, options, { encoding: 'utf8' })
  const [, path = '', line = ''] = /at \S*defineTask \((?:file:\/\/)?(\S+?):(\d+):\d+\)/.exec(stack) ?? []
  expect(path).toBe(join(root, 'src/task/definition/definition.ts'))
  expect(readFileSync(path, 'utf8').split('\n')[Number(line) - 1]).toMatch(/check\w*\(/)
})

test('an isolated step runs, and a directory that a killed process held is opened again', { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-built-'))
  try {
    const work = pathToFileURL(join(folder, 'work.mjs')).href
    writeFileSync(join(folder, 'work.mjs'), 'export default (input) => [input * 2, process.pid]\n')
    const program = `
      import { defineTask, Holdfast } from ${JSON.stringify(pathToFileURL(join(dist, 'index.js')).href)}
      const job = defineTask({ name: 'job' }, (task) => task.isolated('double', ${JSON.stringify(work)}, 21))
      const holdfast = await Holdfast.open({ dir: ${JSON.stringify(join(folder, 'store'))}, tasks: [job], logLevel: 'error' })
      const { taskId } = await holdfast.start(job, undefined)
      const [answer, pid] = await holdfast.result(taskId)
      console.log(answer, pid !== process.pid)
      process.kill(process.pid, 'SIGKILL')`
    writeFileSync(join(folder, 'program.mjs'), program)
    const run = () => {
      try {
        return execFileSync(process.execPath, [join(folder, 'program.mjs')], { encoding: 'utf8' })
      } catch (error) {
        return (error as { stdout: string }).stdout
      }
    }
    expect(run()).toBe('42 true\n')
    expect(run()).toBe('42 true\n')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
