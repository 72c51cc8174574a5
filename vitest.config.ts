import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    alias: {
      'holdfast/testing': source('./src/testing/index.ts'),
      'holdfast/mcp/2025-11-25': source('./src/mcp/rev-2025-11-25/index.ts'),
      'holdfast/mcp/2026-07-28': source('./src/mcp/rev-2026-07-28/index.ts'),
      holdfast: source('./src/index.ts'),
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    maxWorkers: 2,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary'],
      thresholds: { 'src/task/**/*.ts': { branches: 100, functions: 100, lines: 100, statements: 100 } },
    },
  },
})
