/**
 * Two projects: everything in Node but what only a browser has, and the suites
 * that need no Node module in a real Chromium as well. CHROMIUM names its executable (scripts/test.mjs
 * finds or installs one).
 */
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

/** Where there is no origin-private file system there is nothing to test. */
const BROWSER_ONLY = ['test/backing/opfs.test.ts'];
const PORTABLE = [
  'test/unit/**/*.test.ts',
  'test/conformance/**/*.test.ts',
  'test/random/**/*.test.ts',
  'test/front/**/*.test.ts',
  'test/hostile/{hostile,coverage}.test.ts',
  'test/backing/{memory,volume,opfs-handle}.test.ts',
  ...BROWSER_ONLY,
];
const TIMEOUTS = { testTimeout: 120_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'node', include: ['test/**/*.test.ts'], exclude: BROWSER_ONLY, ...TIMEOUTS } },
      {
        test: {
          name: 'chromium',
          include: PORTABLE,
          ...TIMEOUTS,
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
