import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// Tests import the packages by name and get their sources, so a test never runs against a stale build.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^@hearth\/torch$/, replacement: here('./packages/torch/src/index.ts') },
      { find: /^@hearth\/recipes$/, replacement: here('./recipes/src/index.ts') },
      { find: /^hearth\/(.+)$/, replacement: here('./packages/hearth/src/$1/index.ts') },
    ],
  },
  test: {
    include: [
      'packages/*/src/**/*.test.ts',
      'packages/*/test/**/*.test.ts',
      'packages/*/gen/**/*.test.ts',
      'recipes/**/*.test.ts',
      'scripts/**/*.test.mjs',
      'test/**/*.test.ts',
    ],
    exclude: ['**/node_modules/**', '**/dist/**'],
    // The native addon owns threads of its own: one process a file, two at a time.
    pool: 'forks',
    maxWorkers: 2,
    // Two files run at once: threads that wait for each other by spinning would take the processor from both.
    env: { OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
