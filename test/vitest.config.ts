import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/**
 * `npm test` runs `fast`. Asked for by name are `slow`, more of the same; `interop` and `tailnet`, which
 * need peers; and `fire`, which takes minutes.
 */
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    testTimeout: 120_000,
    // Of a machine that is busy: what comes about is awaited, and not for a second only.
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    setupFiles: ['test/threads-setup.ts'],
    // Much of the time goes by in waiting for servers: two files at once, however small the machine.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: ['**/*.slow.test.ts', 'test/interop/**', 'test/fire/**', 'test/tailnet/**'],
        },
      },
      ...(process.argv.includes('--project')
        ? [
            {
              extends: true as const,
              test: { name: 'slow', include: ['test/**/*.slow.test.ts'], testTimeout: 240_000 },
            },
            {
              extends: true as const,
              test: {
                name: 'interop',
                include: ['test/interop/**/*.test.ts'],
                testTimeout: 480_000,
                hookTimeout: 240_000,
                // What a peer does takes as long as that needs.
                expect: { poll: { timeout: 200_000 } },
              },
            },
            {
              extends: true as const,
              test: {
                name: 'tailnet',
                include: ['test/tailnet/**/*.test.ts'],
                testTimeout: 240_000,
              },
            },
            {
              extends: true as const,
              test: { name: 'fire', include: ['test/fire/**/*.test.ts'], testTimeout: 900_000 },
            },
          ]
        : []),
    ],
  },
})
