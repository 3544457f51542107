/** The export surface of the inspector: no logic, numbers only. See inspect.ts. */
export { attach, layoutVersion } from './mem/module';
export { ramCheck, zpoolSpanning, zpoolTable, zpoolTables, zpoolWalk } from './inspect';
