/** Types of dispatch.mjs, for its test. */
export interface Contract {
  readonly functions: readonly { readonly name: string; readonly parameters: string; readonly type: string }[];
  readonly rows: readonly { readonly name: string; readonly kind: number }[];
}
export function readContract(text: string): Contract;
export function dispatchOf(contract: Contract): string;
export function makeDispatch(): void;
