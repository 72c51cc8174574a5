import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// One folder of src each: no server is started and no time passes, so all of it runs in seconds.
const UNIT = ['test/unit/**/*.test.ts', 'test/structure/**/*.test.ts']
const CRASH = ['test/crash/**/*.test.ts']

/** What each project runs, in one process pool. `npm test` runs them all. */
const projects = [
  { name: 'unit', include: UNIT, exclude: [] as string[] },
  { name: 'crash', include: CRASH, exclude: [] as string[] },
  { name: 'rest', include: ['test/**/*.test.ts'], exclude: [...UNIT, ...CRASH] },
]

export default defineConfig({
  resolve: {
    alias: {
      'holdfast/admin': source('./src/admin/index.ts'),
      'holdfast/testing': source('./src/testing/index.ts'),
      'holdfast/mcp/2025-11-25': source('./src/mcp/rev-2025-11-25/index.ts'),
      'holdfast/mcp/2026-07-28': source('./src/mcp/rev-2026-07-28/index.ts'),
      'holdfast/operator': source('./src/operator/index.ts'),
      'holdfast/otel': source('./src/otel/index.ts'),
      holdfast: source('./src/index.ts'),
    },
  },
  test: {
    maxWorkers: 2,
    projects: projects.map(({ name, include, exclude }) => ({
      extends: true as const,
      test: { name, include, exclude: [...exclude, '**/node_modules/**'], testTimeout: 30_000 },
    })),
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary'],
      thresholds: {
        'src/task/**/*.ts': { branches: 100, functions: 100, lines: 100, statements: 100 },
        'src/store/**/*.ts': { lines: 90 },
        'src/engine/**/*.ts': { lines: 90 },
      },
    },
  },
})
