/** The export surface of the compactor: no logic, numbers only. See compact.ts. */
export { attach, layoutVersion } from './mem/module';
export { zpoolCompact, zpoolFreeable } from './compact';
