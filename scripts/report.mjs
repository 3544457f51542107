// A reporter for vitest: how many tests passed and failed, and how long those of each project and folder took.

/** The folder of test/ in which a file is. */
function folderOf(moduleId) {
  return /\/test\/([^/]+)\//.exec(moduleId)?.[1] ?? 'test';
}

export class Report {
  passed = 0;
  failed = 0;
  /** Seconds by project and folder. */
  #seconds = new Map();

  onTestRunEnd(modules, _errors, reason) {
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') this.passed += 1;
        // Nobody left it out, but it was not run: as bad as one that failed.
        else if (state === 'failed' || state === 'pending') this.failed += 1;
      }
      this.#count(module);
    }
    // A file that does not load and a hook that throws are no tests.
    if (reason !== 'passed') this.failed = Math.max(1, this.failed);
  }

  #count(module) {
    const folders = this.#seconds.get(module.project.name) ?? new Map();
    this.#seconds.set(module.project.name, folders);
    const { duration, collectDuration, setupDuration, prepareDuration } = module.diagnostic();
    const folder = folderOf(module.moduleId);
    const spent = (duration + collectDuration + setupDuration + prepareDuration) / 1000;
    folders.set(folder, (folders.get(folder) ?? 0) + spent);
  }

  /** How long each took; they ran side by side. */
  lines() {
    return [...this.#seconds].map(([project, folders]) => {
      const rows = [...folders].sort((one, other) => other[1] - one[1]);
      const sum = rows.reduce((all, [, some]) => all + some, 0);
      return `tests, ${project}: ${sum.toFixed(0)} s (${rows.map(([name, some]) => `${name} ${some.toFixed(0)}`).join(', ')})`;
    });
  }
}
