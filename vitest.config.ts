/**
 * Three projects. `node`: what needs Node and the wasm builds, and nothing else. `system`: what needs other programs (Redis,
 * NBD clients, Chromium for the package), the package in dist/, or a copy of the whole tree. `chromium`: the suites that need
 * no Node module once more, in a real Chromium. scripts/test.mjs looks for the programs and says where they are.
 */
import { availableParallelism } from 'node:os';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Where there is no origin-private file system there is nothing to test. */
const BROWSER_ONLY = ['test/backing/opfs.test.ts'];
const SYSTEM = [
  'test/backing/{keyv-redis,zswap-redis}.test.ts',
  'test/cli/serve.test.ts',
  'test/contributor/contributor.test.ts',
  'test/nbd/{clients,memory,client-limit}.test.ts',
  'test/node/package.test.ts',
];
const PORTABLE = [
  'test/unit/**/*.test.ts',
  'test/conformance/{release,golden}.test.ts',
  'test/random/**/*.test.ts',
  'test/front/**/*.test.ts',
  'test/hostile/{hostile,coverage}.test.ts',
  'test/backing/{memory,volume,opfs-handle}.test.ts',
  ...BROWSER_ONLY,
];

/** Where the files are that take longest: they begin first, so that no processor waits for one of them in the end. */
const LONGEST = ['contributor/', 'models/', 'conformance/', 'hostile/', 'random/', 'cli/serve', 'front/'];
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((part) => moduleId.includes(`/test/${part}`));
      return at === -1 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((one, other) => rank(one) - rank(other));
  }
}

const COMMON = { testTimeout: 120_000, hookTimeout: 60_000, maxWorkers: availableParallelism() };
const IN_NODE = { ...COMMON, globalSetup: 'test/programs.ts' };
const { VITE_BUDGET = '0.25', VITE_BUILDS = 'release' } = process.env;

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: [...BROWSER_ONLY, ...SYSTEM],
          ...IN_NODE,
        },
      },
      { test: { name: 'system', include: SYSTEM, ...IN_NODE } },
      {
        test: {
          name: 'chromium',
          include: PORTABLE,
          ...COMMON,
          // What another engine may do otherwise is the bindings' part: one build shows it, and shorter random tests.
          env: { VITE_BUDGET, VITE_BUILDS },
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: {
                executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
                args: [
                  '--no-sandbox',
                  '--disable-gpu',
                  '--disable-background-networking',
                  '--disable-component-update',
                  '--disable-sync',
                  '--no-first-run',
                ],
              },
            }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
    ],
  },
});
