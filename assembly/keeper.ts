/** The export surface of the keeper: no logic, numbers only. See keep.ts. */
export { attach, layoutVersion } from './mem/module';
export { frameInit as ramInit } from './mem/frame';
export {
  tableOpen, zpoolCompact, zpoolCreate, zpoolDestroy, zpoolFreeable, zpoolIsolate, zpoolRelease, zpoolRunDeferred,
  zpoolVictimNext,
} from './keep';
